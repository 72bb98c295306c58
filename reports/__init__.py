"""Reports of a run for people and machines: HTML, terminal, markdown, JUnit XML, JSON.

``view.build`` reads the store once into a frozen ``ReportView``; every renderer turns that view into one text and computes
nothing. The same store gives the same report, byte for byte: no clock, no random order, no host name.
"""

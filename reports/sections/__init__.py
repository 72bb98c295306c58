"""One template a section, in the order of its number; adding a section is adding ``NN_name.html.j2``. Data only, no code."""

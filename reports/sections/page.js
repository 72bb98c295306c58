// Conveniences only: the page is complete without this script.
(function () {
  "use strict";
  function all(open) {
    document.querySelectorAll("details.case").forEach(function (d) { d.open = open; });
  }
  document.querySelectorAll("[data-all]").forEach(function (button) {
    button.hidden = false;
    button.addEventListener("click", function () { all(button.dataset.all === "open"); });
  });
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (d) { d.dataset.was = d.open ? "1" : ""; d.open = true; });
  });
  window.addEventListener("afterprint", function () {
    document.querySelectorAll("details").forEach(function (d) { d.open = d.dataset.was === "1"; });
  });
})();

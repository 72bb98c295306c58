// Keys, dragging and a stopwatch. Every page works without this script.
(function () {
  "use strict";
  var form = document.getElementById("task") || document.getElementById("marks") || document.getElementById("chat");
  var help = document.getElementById("help");
  var say = document.getElementById("say");

  function tell(text) { say.textContent = text; }

  // -- time spent: only while the page is seen, and no longer than two minutes after the last sign of life
  var spent = 0, since = performance.now(), alive = since, IDLE = 120000;
  function count() {
    var now = performance.now();
    if (document.visibilityState === "visible") spent += Math.max(0, Math.min(now, alive + IDLE) - since);
    since = now;
  }
  document.addEventListener("visibilitychange", function () {
    var now = performance.now();
    if (document.visibilityState === "hidden") spent += Math.max(0, Math.min(now, alive + IDLE) - since);
    since = now;
    alive = now;
  });
  ["keydown", "pointermove", "scroll", "pointerdown"].forEach(function (name) {
    window.addEventListener(name, function () { count(); alive = performance.now(); }, { passive: true, capture: true });
  });

  // -- ranking: a list of groups, best first; answers in one group tie
  var list = document.getElementById("ranking");
  var items = list ? Array.prototype.slice.call(list.children) : [];

  function box(item) { return item.querySelector("input[type=number]"); }
  function place(item) { var n = parseInt(box(item).value, 10); return n >= 1 && n <= 9 ? n : null; }
  function shown() { return Array.prototype.slice.call(list.children); }

  function groups() { // unplaced answers follow in the order shown, each alone
    var by = {}, rest = [];
    shown().forEach(function (item) {
      var n = place(item);
      if (n === null) rest.push([item]); else (by[n] = by[n] || []).push(item);
    });
    return Object.keys(by).map(Number).sort(function (a, b) { return a - b; }).map(function (n) { return by[n]; }).concat(rest);
  }
  function lay(found, focus) {
    found = found.filter(function (group) { return group.length; });
    found.forEach(function (group, n) {
      group.forEach(function (item, i) {
        box(item).value = n + 1;
        item.classList.toggle("tied", i > 0);
        list.appendChild(item);
      });
    });
    if (focus) {
      focus.focus();
      tell("Answer " + focus.dataset.letter + ": place " + box(focus).value + " of " + found.length);
    }
  }
  function without(found, item) {
    return found.map(function (group) { return group.filter(function (other) { return other !== item; }); });
  }
  function where(found, item) { return found.findIndex(function (group) { return group.indexOf(item) >= 0; }); }

  function move(item, step) {
    var found = groups(), at = where(found, item), alone = found[at].length === 1;
    var rest = without(found, item);
    if (alone) rest.splice(at, 1);
    // a tied answer leaves its group upwards or downwards, a single one passes the neighbouring group
    var to = alone ? at + step : step < 0 ? at : at + 1;
    rest.splice(Math.max(0, Math.min(rest.length, to)), 0, [item]);
    lay(rest, item);
  }
  function tie(item) {
    var found = groups(), at = where(found, item), inside = found[at].indexOf(item);
    if (inside > 0) { // no longer: it and what ties below it come next
      var down = found[at].splice(inside);
      found.splice(at + 1, 0, down);
    } else if (at > 0) {
      found[at - 1] = found[at - 1].concat(found[at]);
      found.splice(at, 1);
    }
    lay(found, item);
  }
  function give(item, n) { box(item).value = n; restore(item); }
  function restore(focus) { // the order follows the numbers; what has none stays behind
    var placed = shown().filter(function (item) { return place(item) !== null; });
    placed.sort(function (a, b) { return place(a) - place(b); });
    shown().filter(function (item) { return place(item) === null; }).forEach(function (item) { placed.push(item); });
    placed.forEach(function (item, i) {
      item.classList.toggle("tied", i > 0 && place(item) !== null && place(item) === place(placed[i - 1]));
      list.appendChild(item);
    });
    if (focus) { focus.focus(); tell("Answer " + focus.dataset.letter + ": place " + box(focus).value); }
  }
  function choose(step) {
    var now = shown(), at = now.indexOf(document.activeElement);
    now[at < 0 ? (step > 0 ? 0 : now.length - 1) : Math.max(0, Math.min(now.length - 1, at + step))].focus();
  }

  function zone(event, item) {
    var r = item.getBoundingClientRect(), share = (event.clientY - r.top) / r.height;
    return share < 0.3 ? "above" : share > 0.7 ? "below" : "onto";
  }
  function clear() { items.forEach(function (item) { item.classList.remove("above", "below", "onto", "dragged"); }); }
  var dragged = null;
  items.forEach(function (item) {
    item.draggable = true;
    item.addEventListener("dragstart", function (event) {
      dragged = item;
      item.classList.add("dragged");
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", item.dataset.letter);
    });
    item.addEventListener("dragend", function () { dragged = null; clear(); });
    item.addEventListener("dragover", function (event) {
      if (!dragged || dragged === item) return;
      event.preventDefault();
      items.forEach(function (other) { other.classList.remove("above", "below", "onto"); });
      item.classList.add(zone(event, item));
    });
    item.addEventListener("drop", function (event) {
      if (!dragged || dragged === item) return;
      event.preventDefault();
      var moved = dragged, side = zone(event, item), found = without(groups(), moved);
      found = found.filter(function (group) { return group.length; });
      var at = where(found, item);
      if (side === "onto") found[at].push(moved); else found.splice(side === "above" ? at : at + 1, 0, [moved]);
      dragged = null;
      clear();
      lay(found, moved);
    });
    box(item).addEventListener("change", function () { restore(null); });
  });
  if (list) {
    restore(null);
    document.querySelectorAll(".script").forEach(function (element) { element.hidden = false; });
    document.getElementById("as-shown").addEventListener("click", function () {
      lay(shown().map(function (item) { return [item]; }), shown()[0]);
    });
  }

  // -- keys
  function typing(element) {
    return element && (element.tagName === "TEXTAREA" || (element.tagName === "INPUT" && !/^(radio|checkbox)$/.test(element.type)));
  }
  function act(element) {
    if (element.tagName === "TEXTAREA") element.focus();
    else if (element.type === "radio") {
      element.checked = !element.checked;
      tell((element.checked ? "" : "not ") + element.value);
    } else element.click();
  }
  function byKey(key) {
    return Array.prototype.find.call(document.querySelectorAll("[data-key]"), function (element) {
      return !element.disabled && element.dataset.key.split(" ").indexOf(key) >= 0;
    });
  }
  function save() {
    if (form) form.requestSubmit(form.querySelector("button.main"));
  }
  function missing() { // nothing chosen, or an answer without a place
    if (list) return items.some(function (item) { return place(item) === null; });
    return form.id === "task" && !form.querySelector("input[type=radio]:checked");
  }
  function ranking(event) {
    var item = document.activeElement && document.activeElement.closest("#ranking li");
    if (event.key === "ArrowUp" || event.key === "ArrowDown") {
      var step = event.key === "ArrowUp" ? -1 : 1;
      if (event.shiftKey && item) move(item, step); else choose(step);
    } else if (event.key === "=" && item) tie(item);
    else if (/^[1-9]$/.test(event.key) && item && +event.key <= items.length) give(item, event.key);
    else return false;
    return true;
  }
  document.addEventListener("keydown", function (event) {
    if (event.isComposing || event.altKey || event.metaKey) return;
    var here = document.activeElement;
    if (event.key === "Enter" && event.ctrlKey) { event.preventDefault(); save(); return; }
    if (event.ctrlKey) return;
    if (help.open) {
      if (event.key === "?") { event.preventDefault(); help.close(); }
      return;
    }
    if (typing(here)) {
      if (event.key === "Escape") { event.preventDefault(); here.blur(); }
      else if (event.key === "Enter" && here.type === "number") { event.preventDefault(); here.dispatchEvent(new Event("change")); save(); }
      return;
    }
    if (event.key === "?") { event.preventDefault(); help.showModal(); return; }
    if (list && ranking(event)) { event.preventDefault(); return; }
    if (event.key === "Enter") {
      if (here && /^(BUTTON|A|SUMMARY)$/.test(here.tagName)) return;
      var first = byKey("Enter");
      if (form || first) event.preventDefault();
      if (form) save(); else if (first) first.click();
      return;
    }
    var element = byKey(event.key.length === 1 ? event.key.toLowerCase() : event.key);
    if (element) { event.preventDefault(); act(element); }
  });
  var button = document.getElementById("show-help");
  button.hidden = false;
  button.addEventListener("click", function () { help.showModal(); });
  help.addEventListener("click", function (event) { if (event.target === help) help.close(); });

  // -- a form is sent once
  if (form) {
    form.addEventListener("submit", function (event) {
      if (form.dataset.sent) { event.preventDefault(); return; }
      if ((!event.submitter || event.submitter.value !== "skip") && missing()) {
        event.preventDefault();
        form.querySelector(".problem").hidden = false;
        return;
      }
      form.dataset.sent = "1";
      count();
      var field = form.querySelector("input[name=seconds]");
      if (field) field.value = (spent / 1000).toFixed(2);
    });
    window.addEventListener("pageshow", function () { delete form.dataset.sent; });
  }
})();

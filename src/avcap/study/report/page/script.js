"use strict";

/* Tables: a click on a heading sorts by its column, first the highest, then the lowest. */
for (const table of document.querySelectorAll(".table table:not(.words)")) {
  const body = table.tBodies[0];
  if (body.rows.length < 2) continue;
  const key = (row, column) => {
    const value = row.cells[column].dataset.value;
    return value === undefined ? row.cells[column].textContent : Number(value);
  };
  Array.from(table.tHead.rows[0].cells).forEach((heading, column) => {
    const button = element("button", { type: "button" }, heading.textContent);
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const fall = heading.getAttribute("aria-sort") !== "descending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", fall ? "descending" : "ascending");
      const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0) * (fall ? -1 : 1);
      body.append(...Array.from(body.rows).sort((a, b) => compare(key(a, column), key(b, column))));
    });
  });
}

/* The caption browser. Text enters the page as text only, never as HTML. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const PER_PAGE = 20;
const place = document.getElementById("browser");
if (place) startBrowser(JSON.parse(document.getElementById("browser-data").textContent));

function startBrowser(groups) {
  const state = { group: groups[0], metric: 0, order: "", search: "", hidden: new Set(), page: 0 };
  let thumbnails = null;
  const thumbnail = (id) => {
    thumbnails ??= JSON.parse(document.getElementById("thumbnail-data").textContent);
    return thumbnails[id];
  };

  const list = element("div");
  const note = element("p", { class: "note" });
  const count = element("span", { role: "status" });
  const controls = element("div", { class: "controls" });
  const systems = element("details", { class: "systems" });
  const pager = () => {
    const back = element("button", { type: "button", "data-step": -1 }, "← Previous");
    const next = element("button", { type: "button", "data-step": 1 }, "Next →");
    return { back, next };
  };
  const above = pager(), below = pager();
  const bars = [
    element("div", { class: "pages" }, above.back, above.next, count),
    element("div", { class: "pages" }, below.back, below.next),
  ];
  place.append(note, controls, systems, bars[0], list, bars[1]);

  for (const { back, next } of [above, below]) {
    for (const button of [back, next]) {
      button.addEventListener("click", () => {
        state.page += Number(button.dataset.step);
        draw();
        if (button === below.back || button === below.next) place.scrollIntoView();
      });
    }
  }
  if (groups.length > 1) {
    controls.append(choice("Clips", groups.map((g, i) => [i, `${g.hash} (${g.total})`]), (i) => setGroup(groups[i])));
  }
  const perGroup = element("div", { class: "controls" });
  controls.after(perGroup);
  setGroup(state.group);

  function choice(label, options, change) {
    const select = element("select");
    for (const [value, text] of options) select.append(element("option", { value }, text));
    select.addEventListener("change", () => change(select.value));
    return element("label", {}, label, select);
  }

  function setGroup(group) {
    const several = group.systems.length > 1 && group.metrics.length > 0;
    const orders = [];
    if (several) orders.push(["spread", "systems disagree most"]);
    if (group.metrics.length) orders.push(["low", "lowest mean score"], ["high", "highest mean score"]);
    orders.push(["id", "clip id"]);
    Object.assign(state, { group, metric: 0, order: orders[0][0], search: "", page: 0 });
    state.hidden.clear();

    const search = element("input", { type: "search", placeholder: "words, clip id, kind of scene" });
    search.addEventListener("input", () => { state.search = search.value.toLowerCase(); first(); });
    perGroup.replaceChildren(choice("Order", orders, (value) => { state.order = value; first(); }));
    if (group.metrics.length > 1) {
      perGroup.append(choice("Score", group.metrics.map((m, i) => [i, m]), (i) => { state.metric = Number(i); first(); }));
    }
    perGroup.append(element("label", { class: "search" }, "Search", search));

    const boxes = element("div");
    group.systems.forEach((name, number) => {
      const box = element("input", { type: "checkbox" });
      box.checked = true;
      box.addEventListener("change", () => {
        if (box.checked) state.hidden.delete(number); else state.hidden.add(number);
        draw();
      });
      boxes.append(element("label", {}, box, name));
    });
    systems.replaceChildren(element("summary", {}, `Systems shown (${group.systems.length})`), boxes);
    systems.hidden = group.systems.length < 2;
    const all = group.clips.length === group.total;
    note.textContent = (all ? `All ${group.total} clips. ` :
      `${group.clips.length} of ${group.total} clips: ` + (several
        ? "half are those on which the systems disagree most, half are spread evenly over the others. "
        : "spread evenly. ")) +
      "Captions are the first seed's" + (group.metrics.length ? ", scores of each clip × 100." : ".");
    first();
  }

  function first() { state.page = 0; draw(); }

  function mean(clip) {
    return clip.scores.reduce((sum, scores) => sum + scores[state.metric], 0) / clip.scores.length;
  }

  function spread(clip) {
    const centre = mean(clip);
    return clip.scores.reduce((sum, scores) => sum + (scores[state.metric] - centre) ** 2, 0);
  }

  function found(clip) {
    const { texts } = state.group;
    const words = [clip.id, clip.kind, ...[...clip.references, ...clip.captions].map((n) => texts[n])];
    return words.some((text) => text.toLowerCase().includes(state.search));
  }

  function draw() {
    const keys = { spread: (c) => -spread(c), low: mean, high: (c) => -mean(c), id: () => 0 };
    const key = keys[state.order];
    const clips = state.group.clips.filter(found).map((clip) => [key(clip), clip])
      .sort((a, b) => a[0] - b[0] || (a[1].id < b[1].id ? -1 : 1)).map(([, clip]) => clip);
    const pages = Math.max(1, Math.ceil(clips.length / PER_PAGE));
    const start = state.page * PER_PAGE;
    list.replaceChildren(...clips.slice(start, start + PER_PAGE).map(card));
    for (const { back, next } of [above, below]) {
      back.disabled = state.page === 0;
      next.disabled = state.page >= pages - 1;
    }
    bars[1].hidden = pages < 2;
    count.textContent = clips.length ? `${start + 1}–${Math.min(start + PER_PAGE, clips.length)} of ${clips.length}` : "no clip";
  }

  function card(clip) {
    const { texts, systems: names, metrics } = state.group;
    const picture = thumbnail(clip.id);
    const title = element("h3", {}, clip.id);
    if (clip.kind) title.append(element("small", {}, clip.kind));
    const best = metrics.map((_, m) => Math.max(...clip.scores.map((scores) => scores[m])));
    const rows = names.map((name, s) => element("tr", {},
      element("th", { scope: "row" }, name),
      element("td", { class: "caption" }, texts[clip.captions[s]]),
      ...metrics.map((metric, m) => element("td", {
        "data-metric": metric,
        ...(names.length > 1 && clip.scores[s][m] === best[m] ? { class: "best" } : {}),
      }, (clip.scores[s][m] / 10).toFixed(1))),
    )).filter((_, s) => !state.hidden.has(s));
    const heads = ["system", "caption", ...metrics].map((text, i) =>
      element("th", { scope: "col", ...(i === 1 ? { class: "caption" } : {}) }, text));
    const table = element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows));
    const said = element("div", { class: "captions" });
    if (clip.references.length) {
      said.append(element("ul", { "aria-label": "References" },
        ...clip.references.map((n) => element("li", {}, texts[n]))));
    }
    said.append(table);
    const made = element("article", { class: picture ? "clip" : "clip bare" }, title);
    if (picture) {
      made.append(element("div", { class: "picture" }, element("img", {
        src: picture, alt: `Spectrogram and frames of ${clip.id}`, decoding: "async",
      })));
    }
    made.append(said);
    return made;
  }
}

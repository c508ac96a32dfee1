(() => {
  "use strict";
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const $ = id => document.getElementById(id);

  // What scrolls sideways can be reached by keyboard; what does not is no stop.
  const fit = () => all(".scroll").forEach(e => {
    if (e.scrollWidth > e.clientWidth) e.tabIndex = 0; else e.removeAttribute("tabindex");
  });
  fit();
  addEventListener("resize", fit);
  addEventListener("toggle", fit, true);

  // SQL can be copied.
  const copied = $("copied");
  const copy = async (pre, button) => {
    try {
      await navigator.clipboard.writeText(pre.textContent);
    } catch { // no permission: as by hand
      const range = document.createRange();
      range.selectNodeContents(pre);
      const selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    copied.textContent = "SQL copied";
    setTimeout(() => { button.textContent = "Copy SQL"; copied.textContent = ""; }, 2000);
  };
  all("pre.sql").forEach(pre => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy SQL";
    button.addEventListener("click", () => copy(pre, button));
    pre.after(button);
  });

  // The samples are filtered by what is chosen below and in the charts.
  const list = $("samples");
  if (!list) return;
  const rows = [...list.children].map(e => ({
    e, text: e.textContent.toLowerCase(), class: e.dataset.class, cause: e.dataset.cause, at: Number(e.dataset.at),
    key: Object.fromEntries(JSON.parse(e.dataset.columns).map((c, i) => [c, JSON.parse(e.dataset.values)[i]])),
  }));
  const byClass = $("f-class"), byCause = $("f-cause"), byText = $("f-text"), clear = $("f-clear"), count = $("f-count"), chosen = $("f-chosen");
  const fill = (select, name) => [...new Set(rows.map(r => r[name]))].sort().forEach(v => select.add(new Option(v, v)));
  fill(byClass, "class");
  fill(byCause, "cause");
  let choice = null; // {button, title, columns, values, from, to}
  const within = r => !choice ||
    choice.columns.every((c, i) => r.key[c] === choice.values[i]) && !(choice.from > r.at) && !(choice.to <= r.at);
  const filter = () => {
    const text = byText.value.toLowerCase();
    let shown = 0;
    for (const r of rows) {
      r.e.hidden = byClass.value && r.class !== byClass.value || byCause.value && r.cause !== byCause.value || !r.text.includes(text) || !within(r);
      if (!r.e.hidden) shown++;
    }
    count.textContent = shown + " of " + rows.length + (rows.length === 1 ? " sample" : " samples") + " shown" + (shown ? "." : ". A run keeps only some of each class.");
    chosen.textContent = choice ? "Chosen: " + choice.title : "";
    clear.hidden = !choice && !text && !byClass.value && !byCause.value;
    all(".choice-note").forEach(note => {
      note.hidden = !choice || note.dataset.group !== choice.group;
      if (!note.hidden) note.firstElementChild.textContent = choice.title + ": " + shown + (shown === 1 ? " sample. " : " samples. ");
    });
  };
  const choose = next => {
    if (choice) choice.button.setAttribute("aria-pressed", "false");
    choice = choice && choice.button === next?.button ? null : next;
    if (choice) choice.button.setAttribute("aria-pressed", "true");
    filter();
  };
  [byClass, byCause, byText].forEach(e => e.addEventListener("input", filter));
  clear.addEventListener("click", () => {
    byClass.value = byCause.value = byText.value = "";
    if (choice) choose(choice); // chosen again: not any more
    filter();
    byText.focus();
  });

  // Values of segments and worst windows are buttons.
  all("[data-pick]").forEach(e => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "inline";
    button.setAttribute("aria-pressed", "false");
    button.append(...e.childNodes);
    e.append(button);
    const d = e.dataset;
    const pick = { button, group: d.pick, title: d.title, columns: JSON.parse(d.columns || "[]"), values: JSON.parse(d.values || "[]"), from: Number(d.from || -Infinity), to: Number(d.to || Infinity) };
    button.addEventListener("click", () => choose(pick));
  });

  // Cells of the heat map too; one of them is a stop of Tab, arrows go on from there.
  const map = $("heatmap");
  if (map) {
    map.setAttribute("role", "group");
    const cells = all(".heatcell", map), at = new Map();
    const move = (cell, row, column) => {
      const next = at.get(row + "," + column);
      if (!next) return;
      cell.setAttribute("tabindex", "-1");
      next.setAttribute("tabindex", "0");
      next.focus();
    };
    cells.forEach((cell, i) => {
      const d = cell.dataset, row = Number(d.row), column = Number(d.col), title = cell.querySelector("title").textContent;
      at.set(row + "," + column, cell);
      cell.classList.add("pick");
      cell.setAttribute("role", "button");
      cell.setAttribute("aria-label", title);
      cell.setAttribute("aria-pressed", "false");
      cell.setAttribute("tabindex", i ? "-1" : "0");
      const pick = { button: cell, group: "heat", title, columns: JSON.parse(d.columns), values: JSON.parse(d.values), from: Number(d.from), to: Number(d.to) };
      cell.addEventListener("click", () => choose(pick));
      cell.addEventListener("keydown", event => {
        const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
        if (step) move(cell, row + step[0], column + step[1]);
        else if (event.key === "Enter" || event.key === " ") choose(pick);
        else return;
        event.preventDefault();
      });
    });
  }
  document.querySelector(".tools").hidden = false;
  filter();
})();

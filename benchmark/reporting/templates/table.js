// The table of a leaderboard: its controls, and the rows and columns of a view.
const FACETS = ["method", "backbone", "source", "status"];
const RANGES = ["params", "macs", "latency_ms", "inference_memory_bytes", "miou_percent"];

// A range has the figures that are in it as they are shown, too: 67.18..67.18 finds 67.1761, shown as 67.18.
function within(range, column, value) {
  if (value === null) return false;
  const [low, high] = range.split("..").map((text) => (text === "" ? null : Number(text)));
  return [inUnit(column, value), Number(show(column, value))].some((each) => (low === null || each >= low) && (high === null || each <= high));
}

function matches(board, row) {
  const { view } = board;
  const text = `${row.name} ${row.method}`.toLowerCase();
  return (
    view.q.toLowerCase().split(/\s+/).every((word) => text.includes(word)) &&
    FACETS.every((facet) => view[facet].length === 0 || view[facet].includes(row[facet])) &&
    board.ranges.every((column) => !view[column.name] || within(view[column.name], column, figure(board, row, column.name)))
  );
}

function compare(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null); // missing values stay last
  return sign * (typeof a === "string" ? (a > b) - (a < b) : a - b);
}

// Filters and sorts the rows, and shows them.
function arrange(board) {
  const name = board.view.sort.replace(/^-/, ""), sign = board.view.sort.startsWith("-") ? -1 : 1;
  const value = (row) => (name === "architecture" ? row.name : figure(board, row, name));
  const rows = name ? [...board.rows].sort((a, b) => compare(value(a), value(b), sign)) : board.rows;
  board.visible = rows.filter((row) => matches(board, row));
  const visible = new Set(board.visible);
  for (const row of rows) row.element.hidden = !visible.has(row);
  if (board.order !== board.view.sort) board.table.tBodies[0].append(...rows.map((row) => row.element));
  board.order = board.view.sort;
  board.columns.forEach((column, index) => {
    const head = board.table.tHead.rows[0].cells[index];
    if (column.name === name) head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  });
  showColumns(board);
  board.controls.querySelector("output").value = `${board.visible.length} of ${board.rows.length} architectures`;
  for (const menu of board.controls.querySelectorAll(".menu")) {
    const names = menu.dataset.facet === "ranges" ? board.ranges.map((column) => column.name) : [menu.dataset.facet];
    menu.classList.toggle("active", names.some((each) => String(board.view[each]) !== String(board.defaults[each])));
  }
}

function showColumns(board) {
  const { cols } = board.view;
  if (board.shown === String(cols)) return;
  board.shown = String(cols);
  board.columns.forEach((column, index) => {
    const hidden = column.name !== "architecture" && !cols.includes(column.name);
    for (const row of board.table.rows) row.cells[index].hidden = hidden;
  });
  board.table.style.setProperty("--columns", cols.length + 1);
  fitTable(board);
}

// The head of a table that fits sticks to the window; a wider table scrolls in a box of its own.
function fitTable(board) {
  const box = board.table.parentElement;
  box.classList.remove("fits");
  box.classList.toggle("fits", board.table.offsetWidth <= box.clientWidth);
}

function makeControls(board, change) {
  const form = document.getElementById("controls").content.firstElementChild.cloneNode(true);
  form.setAttribute("aria-label", `Filters of ${board.title}, ${board.fingerprint}`);
  const panel = (facet) => form.querySelector(`[data-facet=${facet}] .panel`);
  const check = (facet, value, text) =>
    element("label", {}, element("input", { type: "checkbox", name: facet, value }), text);
  for (const facet of FACETS) {
    const values = [...new Set(board.rows.map((row) => row[facet]))].sort();
    panel(facet).append(...values.map((value) => check(facet, value, value.replaceAll("_", " "))));
    if (values.length < 2) panel(facet).parentElement.hidden = true;
  }
  for (const column of board.ranges) {
    const end = (which, text) =>
      element("input", { type: "number", step: "any", name: `${column.name} ${which}`, placeholder: text, "aria-label": `${heading(column)}, ${text}` });
    panel("ranges").append(element("div", {}, element("span", {}, heading(column)), end("low", "from"), end("high", "to")));
  }
  for (const column of board.columns) {
    if (column.name !== "architecture") panel("cols").append(check("cols", column.name, heading(column)));
    for (const [sign, arrow] of [["", "↑"], ["-", "↓"]]) {
      form.elements.sort.append(element("option", { value: sign + column.name }, `${column.title} ${arrow}`));
    }
  }
  form.elements.sort.prepend(element("option", { value: "" }, "Rank"));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    readControls(board);
    change();
  });
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    board.view = { ...board.defaults };
    fillControls(board);
    fillAxes(board);
    change();
  });
  for (const head of board.table.tHead.rows[0].cells) {
    const { name } = board.columns[head.cellIndex], button = head.querySelector("button");
    button.addEventListener("click", () => {
      const first = button.dataset.first === "descending" ? `-${name}` : name;
      const other = first === name ? `-${name}` : name;
      board.view.sort = board.view.sort === first ? other : first;
      fillControls(board);
      change();
    });
  }
  board.table.parentElement.before(form);
  board.controls = form;
}

const checked = (form, name) => [...form.querySelectorAll(`input[name=${name}]:checked`)].map((input) => input.value);

function readControls(board) {
  const { controls, view } = board;
  view.q = controls.elements.q.value;
  view.sort = controls.elements.sort.value;
  for (const name of [...FACETS, "cols"]) view[name] = checked(controls, name);
  for (const { name } of board.ranges) {
    const [low, high] = ["low", "high"].map((which) => controls.elements[`${name} ${which}`].value);
    view[name] = low || high ? `${low}..${high}` : "";
  }
}

function fillControls(board) {
  const { controls, view } = board;
  controls.elements.q.value = view.q;
  controls.elements.sort.value = view.sort;
  for (const name of [...FACETS, "cols"]) {
    for (const input of controls.querySelectorAll(`input[name=${name}]`)) input.checked = view[name].includes(input.value);
  }
  for (const { name } of board.ranges) {
    const [low, high] = view[name].split("..");
    controls.elements[`${name} low`].value = low;
    controls.elements[`${name} high`].value = high ?? "";
  }
}

// A menu closes by a click beside it, or by Escape.
function closeMenus() {
  const opened = () => document.querySelectorAll("details.menu[open]");
  document.addEventListener("click", (event) => {
    for (const menu of opened()) if (!menu.contains(event.target)) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of opened()) {
      menu.open = false;
      menu.firstElementChild.focus();
    }
  });
}

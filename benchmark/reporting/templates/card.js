// The card of a row: its figures, those of each seed with the results, and where more is said of the architecture.
function fillCard(board, row) {
  const card = document.getElementById("card");
  card.querySelector("h3").textContent = row.name;
  const facts = [row.title, row.backbone === "none of its own" ? "" : row.backbone, row.source, row.status.replaceAll("_", " ")];
  const pairs = board.columns
    .filter((column) => !["architecture", "status", "seeds"].includes(column.name))
    .map((column) => [column, figure(board, row, column.name)])
    .filter(([, value]) => value !== null)
    .map(([column, value]) =>
      element("div", { title: meaning(board, column) }, element("dt", {}, column.name === "rank" ? "Rank" : heading(column)), element("dd", {}, column.name === "rank" ? rankText(row) : show(column, value))),
    );
  const section = document.getElementById(row.anchor);
  const parts = [
    element("p", { class: "notes" }, facts.filter(Boolean).join(" · ")),
    element("p", { class: "notes" }, board.title),
    element("dl", { class: "figures" }, ...pairs),
  ];
  if (row.runs.length) parts.push(element("h4", {}, "Results"), element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Results of each seed" }, seedTable(board, row)));
  if (section) {
    const link = element("a", { href: `#${section.id}` }, `More on ${row.name}`);
    link.addEventListener("click", () => card.close());
    parts.push(element("p", {}, link));
  }
  card.querySelector(".content").replaceChildren(...parts);
  labelCells(card);
}

const meaning = (board, column) => board.table.tHead.rows[0].cells[board.index[column.name]].firstElementChild.title;

function rankText(row) {
  const [, low, high] = row.ranks;
  return low === high ? String(low ?? "-") : `${low}-${high}`;
}

function seedTable(board, row) {
  const names = board.of_a_seed.filter((name) => name in board.index && row.runs.some((run) => run[3 + board.of_a_seed.indexOf(name)] !== null));
  const columns = names.map(board.column);
  const number = { class: "number" };
  const head = element(
    "tr",
    {},
    element("th", { scope: "col" }, "Seed"),
    element("th", { scope: "col" }, "Status"),
    ...columns.map((column) => element("th", { scope: "col", ...number }, heading(column))),
  );
  const rows = row.runs.map(([seed, status, link, ...run]) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, element("a", { href: link }, seed)),
      element("td", {}, status),
      ...columns.map((column) => element("td", number, show(column, run[board.of_a_seed.indexOf(column.name)]))),
    ),
  );
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
}

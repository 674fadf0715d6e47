// The rows and columns of a view as a file, or for the clipboard.
const shownColumns = (board) => board.columns.filter((column) => column.name === "architecture" || board.view.cols.includes(column.name));

// Names and full precision are those of `segbench leaderboard --format csv`.
function exported(board, row) {
  const found = {};
  for (const { name } of shownColumns(board)) {
    found[name] = { architecture: row.name, status: row.status }[name] ?? figure(board, row, name);
    if (name === "rank") [, found.rank_low, found.rank_high] = row.ranks;
  }
  return found;
}

function toCsv(board) {
  const quote = (value) => (/[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? ""));
  const rows = board.visible.map((row) => exported(board, row));
  const head = Object.keys(exported(board, board.rows[0]));
  return [head, ...rows.map(Object.values)].map((row) => `${row.map(quote).join(",")}\r\n`).join("");
}

function toJson(board) {
  const { protocol, fingerprint } = board;
  return `${JSON.stringify({ protocol, fingerprint, rows: board.visible.map((row) => exported(board, row)) }, null, 2)}\n`;
}

function toBibtex(board) {
  const keys = new Set([...board.cite, ...board.visible.flatMap((row) => row.cite)]);
  const entries = [...keys].sort().map((key) => data.bibtex[key]);
  const needed = entries.some((entry) => entry.includes("\\url")) ? [data.latex.url_package] : [];
  return `${[...needed, ...entries].join("\n\n")}\n`;
}

const EXPORTS = {
  csv: ["CSV", toCsv, "text/csv"],
  json: ["JSON", toJson, "application/json"],
  tex: ["LaTeX", toLatex, "application/x-tex"],
  bib: ["BibTeX", toBibtex, "application/x-bibtex"],
};

function makeExports(board) {
  const links = Object.entries(EXPORTS).map(([kind, [name, render, type]]) => {
    const link = element("a", { href: "#", download: `${board.id}.${kind}`, "data-export": kind }, `Download ${name}`);
    link.addEventListener("click", () => {
      URL.revokeObjectURL(link.href);
      link.href = URL.createObjectURL(new Blob([render(board)], { type: `${type};charset=utf-8` }));
    });
    return link;
  });
  board.controls.querySelector(".exports").prepend(...links);
  for (const button of board.controls.querySelectorAll("[data-copy]")) {
    const kind = button.dataset.copy, name = button.textContent;
    button.addEventListener("click", async () => {
      await copy(kind === "link" ? linkTo(board) : EXPORTS[kind][1](board));
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = name), 1500);
    });
  }
}

async function copy(content) {
  try {
    await navigator.clipboard.writeText(content);
  } catch {
    // Not everywhere a file may use the clipboard.
    const area = element("textarea", { class: "unseen" });
    area.value = content;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

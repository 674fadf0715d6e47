// A view as a LaTeX table, laid out as that of `segbench leaderboard --format latex`: one float, or one for each page.
const latexWidth = (text) =>
  [...text].reduce((sum, each) => sum + (data.latex.widths[each] ?? (each <= "~" ? data.latex.capital : data.latex.other)), 0);

// Returns the LaTeX of a cell, and its width in points at 10 pt.
function latexCell(board, row, column) {
  if (column.name === "architecture") {
    const cited = row.cite.length ? `~\\cite{${row.cite.join(",")}}` : "";
    return [row.tex + cited, latexWidth(row.name) + (cited && latexWidth(` [${row.cite.map(() => "00").join(", ")}]`))];
  }
  const value = figure(board, row, column.name);
  if (column.name === "status") {
    const text = value ?? row.status.replaceAll("_", " ");
    return [text, latexWidth(text)];
  }
  if (value === null) return ["--", latexWidth("--")];
  const shown = column.name === "rank" ? rankText(row).replace("-", "--") : show(column, value);
  const isBold = row.element.cells[board.index[column.name]].querySelector("strong");
  return isBold ? [`\\textbf{${shown}}`, latexWidth(shown) * data.latex.bold] : [shown, latexWidth(shown)];
}

function latexField(board, column) {
  const kind = column.decimals === null ? "l" : "r", words = column.tex.split(" ");
  const cells = board.visible.map((row) => latexCell(board, row, column));
  return {
    kind,
    isName: column.name === "architecture",
    heading: words.length > 1 ? `\\shortstack[${kind}]{${words.join("\\\\")}}` : words[0],
    headingLines: words.length,
    cells: cells.map(([text]) => text),
    extents: cells.map(([, extent]) => extent),
    extent: Math.max(...heading(column).split(" ").map(latexWidth), ...cells.map(([, extent]) => extent)),
  };
}

const latexExtent = (fields, { scale, gap }) =>
  fields.reduce((sum, field) => sum + (field.wrap ?? field.extent * scale), 2 * gap * (fields.length - 1));

// Returns the first layout that is wide enough; where none is, the last, with names in lines.
function latexLayout(fields) {
  const { layouts, narrowest } = data.latex;
  const found = layouts.find((layout) => latexExtent(fields, layout) <= layout.available);
  if (found) return [found, fields.map((field) => ({ ...field, cells: field.cells.map((text) => text.replaceAll("\\allowbreak{}", "")) }))];
  const layout = layouts.at(-1), others = fields.map((field) => (field.isName ? { ...field, wrap: 0 } : field));
  const wrap = Math.floor(Math.max(layout.available - latexExtent(others, layout), narrowest));
  return [layout, fields.map((field) => (field.isName ? { ...field, wrap, kind: `>{\\raggedright\\arraybackslash}p{${wrap}pt}` } : field))];
}

// Returns the rows of each part, of about equal length, that fits a page.
function latexParts(fields, layout) {
  const lines = fields[0].cells.map((_, row) => Math.max(...fields.map(({ wrap, extents }) => (wrap ? Math.ceil((extents[row] * layout.scale) / wrap) : 1))));
  const total = lines.reduce((sum, each) => sum + each, 0);
  const most = layout.lines - Math.max(0, ...fields.map((field) => field.headingLines - 2));
  const parts = Array.from({ length: Math.max(1, Math.ceil(total / most)) }, () => []);
  let end = 0;
  lines.forEach((count, row) => {
    end += count;
    parts[Math.floor(((end - 1) * parts.length) / total)].push(fields.map((field) => field.cells[row]));
  });
  return parts;
}

function toLatex(board) {
  const [layout, fields] = latexLayout(shownColumns(board).map((column) => latexField(board, column)));
  const label = `tab:${board.id.replace(/[^A-Za-z0-9-]+/g, "-")}`;
  const line = (cells) => `    ${cells.join(" & ")} \\\\`;
  return [
    "% needs \\usepackage{array, booktabs, graphicx, url}; the entries of \\cite are in the BibTeX of this view",
    ...latexParts(fields, layout).flatMap((rows, number) => [
      `\\begin{${layout.environment}}[tp]`,
      "  \\centering\\setlength{\\emergencystretch}{3em}",
      number ? `  Table~\\ref{${label}} (continued)\\par\\smallskip` : `  \\caption{${board.tex} (fingerprint ${board.fingerprint})~\\cite{${board.cite.join(",")}}.}\\label{${label}}\\smallskip`,
      `  ${layout.size}\\setlength{\\tabcolsep}{${layout.gap}pt}`,
      `  ${data.latex.scaled}\\begin{tabular}{@{}${fields.map((field) => field.kind).join("")}@{}}`,
      "    \\toprule",
      line(fields.map((field) => field.heading)),
      "    \\midrule",
      ...rows.map(line),
      "    \\bottomrule",
      `  \\end{tabular}}`,
      `\\end{${layout.environment}}`,
    ]),
    "",
  ].join("\n");
}

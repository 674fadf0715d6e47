// Sections of architectures: copy buttons, confusion matrices, and predictions, which are made when a section is opened.
{
  const copy = async (source) => {
    const text = [...(source.children.length ? source.children : [source])].map((each) => each.textContent).join("\n\n");
    try {
      await navigator.clipboard.writeText(text);
    } catch { // pages from a file or a mail attachment may not write to the clipboard in this way
      getSelection().selectAllChildren(source);
      document.execCommand("copy");
    }
  };
  for (const button of document.querySelectorAll("button.copy")) {
    const label = button.textContent;
    button.addEventListener("click", async () => {
      await copy(document.getElementById(button.dataset.copy));
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = label; }, 2000);
    });
  }

  const element = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const matrix = (box, pixels) => {
    const classes = JSON.parse(box.dataset.classes);
    const table = document.createElement("table"), head = table.createTHead().insertRow(), body = table.createTBody();
    const names = [...classes, "void"].slice(0, Number(box.dataset.rows));
    head.append(element("td", ""), ...classes.map((name) => element("th", name, { scope: "col" })));
    for (const [index, text] of box.dataset.counts.split(",").entries()) {
      const counts = text.split(" ").map(Number), whole = counts.reduce((a, b) => a + b, 0) || 1, row = body.insertRow();
      row.append(element("th", names[index], { scope: "row" }));
      for (const [column, count] of counts.entries()) {
        const percent = 100 * count / whole;
        const shown = pixels ? count.toLocaleString("en") : percent >= 0.05 ? percent.toFixed(1) : count ? "<0.1" : "0";
        row.append(element("td", shown, {
          class: index === column ? "right" : "wrong",
          style: `--share: ${percent.toFixed(1)}%`,
          title: `${names[index]} predicted as ${classes[column]}: ${count.toLocaleString("en")} pixels, ${percent.toFixed(2)} %`,
        }));
      }
    }
    box.replaceChildren(table);
  };

  // A cell of a heat map has one pixel, whose opacity is one of a few: between two shares.
  const nameCells = (box) => {
    const picture = box.querySelector("img"), shown = box.querySelector("output"), names = JSON.parse(box.dataset.classes);
    const numbers = (text) => text.split(" ").map(Number), bounds = numbers(box.dataset.bounds), opacities = numbers(box.dataset.opacities);
    const rows = [...names, "void"].slice(0, picture.height);
    let pixels;
    const read = () => {
      const canvas = document.createElement("canvas"), size = [picture.naturalWidth, picture.naturalHeight];
      [canvas.width, canvas.height] = size;
      const context = canvas.getContext("2d");
      context.drawImage(picture, 0, 0);
      return context.getImageData(0, 0, ...size).data;
    };
    const tell = ({ offsetX, offsetY }) => {
      const [wide, high] = [picture.naturalWidth, picture.naturalHeight];
      const column = Math.floor((offsetX / picture.clientWidth) * wide), row = Math.floor((offsetY / picture.clientHeight) * high);
      if (!(row in rows) || !(column in names)) return;
      pixels ??= read();
      const level = opacities.indexOf(pixels[4 * (row * wide + column) + 3]);
      const share = level < 1 ? "no pixel" : level === 1 ? `up to ${bounds[1]} % of its pixels` : level < bounds.length ? `${bounds[level - 1]} to ${bounds[level]} % of its pixels` : `more than ${bounds[level - 1]} % of its pixels`;
      shown.value = `${rows[row]} predicted as ${names[column]}: ${share}`;
    };
    picture.addEventListener("pointermove", tell);
    picture.addEventListener("click", tell);
  };
  document.querySelectorAll(".heat-map").forEach(nameCells);

  const figures = new Map();
  for (const figure of document.querySelectorAll("figure[data-of]")) {
    figures.set(figure.dataset.of, [...(figures.get(figure.dataset.of) ?? []), figure]);
  }
  const fill = (details) => {
    for (const box of details.querySelectorAll(".matrix:empty")) matrix(box, false);
    for (const box of details.querySelectorAll(".copies:not(.filled)")) {
      box.replaceChildren(...(figures.get(box.dataset.of) ?? []).map((figure) => {
        const copied = figure.cloneNode(true);
        copied.removeAttribute("data-of");
        copied.querySelector("figcaption").firstChild.textContent = `Test image ${figure.dataset.image} `;
        return copied;
      }));
      box.classList.add("filled");
    }
  };
  for (const details of document.querySelectorAll("details.architecture")) {
    details.addEventListener("toggle", () => { if (details.open) fill(details); });
  }
  for (const box of document.querySelectorAll("input.show-pixels")) {
    box.addEventListener("change", () => matrix(document.getElementById(box.getAttribute("aria-controls")), box.checked));
  }
  addEventListener("beforeprint", () => { for (const each of document.querySelectorAll("details.architecture")) fill(each); });

  const reveal = () => {
    const target = document.getElementById(location.hash.slice(1));
    for (let each = target?.closest("details"); each; each = each.parentElement.closest("details")) each.open = true;
    if (target?.matches("details")) target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();
}

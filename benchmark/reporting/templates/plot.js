// The plot of a view: two figures of its rows, the Pareto front of these, and the names of the points.
const RADIUS = 4.5, REACH = 12, LINE = 15, TEXT = 12;

const measure = (() => {
  const context = document.createElement("canvas").getContext("2d"), known = new Map();
  return (text, bold) => {
    const key = `${bold ? 600 : 400} ${text}`;
    if (!known.has(key)) {
      context.font = `${bold ? 600 : 400} ${TEXT}px ${getComputedStyle(document.body).fontFamily}`;
      known.set(key, context.measureText(text).width);
    }
    return known.get(key);
  };
})();

const tickText = (value) => (Math.abs(value) >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(3))));

function linearTicks(low, high) {
  if (high - low < 1e-9 * Math.max(Math.abs(high), 1)) [low, high] = [low - 0.5, high + 0.5];
  const size = 10 ** Math.floor(Math.log10((high - low) / 4));
  const step = size * [1, 2, 5, 10].find((factor) => (high - low) / (size * factor) <= 5);
  const first = Math.floor(low / step), last = Math.ceil(high / step);
  return Array.from({ length: last - first + 1 }, (_, index) => (first + index) * step);
}

function logTicks(low, high, most) {
  const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high));
  const powers = Array.from({ length: last - first + 1 }, (_, index) => first + index);
  for (const factors of [[1, 2, 5], [1, 3], [1]]) {
    const ticks = powers.flatMap((power) => factors.map((factor) => factor * 10 ** power)).filter((tick) => tick >= low && tick <= high);
    if (ticks.length <= most) return ticks;
  }
  return powers.filter((power) => power % 3 === 0).map((power) => 10 ** power);
}

// An axis from values, with those of error bars, to positions.
function makeAxis(values, isLog, start, end) {
  let low = Math.min(...values), high = Math.max(...values), ticks;
  if (isLog) {
    const room = Math.max((high / low) ** 0.12, 1.6);
    [low, high] = [low / room, high * room];
    ticks = logTicks(low, high, 7);
    if (ticks.length < 3) ticks = linearTicks(low, high).filter((tick) => tick >= low && tick <= high);
  } else {
    ticks = linearTicks(low, high);
    [low, high] = [ticks[0], ticks.at(-1)];
  }
  const scale = isLog ? Math.log : Number;
  const at = (value) => start + ((scale(value) - scale(low)) / (scale(high) - scale(low))) * (end - start);
  return { ticks, at };
}

// Points such that no other is at least as good in both figures and better in one. What was stated, not measured, is
// ignored; what is doubtful can keep others off the front, but is not on it.
function paretoFront(board, points, x, y) {
  if (!x.good || !y.good) return [];
  const better = (column, a, b) => (column.good === "max" ? b - a : a - b);
  const has = (names, point) => [x.name, y.name].some((name) => point.row[names].includes(name));
  const sorted = points.filter((point) => !has("ignored", point));
  sorted.sort((a, b) => better(x, a.x, b.x) || better(y, a.y, b.y));
  const front = [];
  for (const point of sorted) {
    const best = front.at(-1);
    const isEqual = best && best.x === point.x && best.y === point.y;
    if (!best || better(y, point.y, best.y) < 0 || isEqual) front.push(point);
  }
  return front.filter((point) => !has("doubtful", point));
}

function pointsOf(board) {
  const { view } = board, x = board.column(view.x), y = board.column(view.y);
  const spread = (row, column) => (column.name === "miou_percent" ? figure(board, row, "miou_sd_percent") ?? 0 : 0);
  return board.visible
    .map((row) => ({
      row,
      name: row.name,
      x: inUnit(x, figure(board, row, x.name)),
      y: inUnit(y, figure(board, row, y.name)),
      xSpread: spread(row, x),
      ySpread: spread(row, y),
    }))
    .filter((point) => point.x !== null && point.y !== null)
    .filter((point) => (view.xlog !== "1" || point.x > 0) && (view.ylog !== "1" || point.y > 0));
}

const ends = (value, spread, isLog) => [isLog ? Math.max(value - spread, value / 2) : value - spread, value + spread];

const usualHeight = (width) => Math.round(Math.min(480, Math.max(420, width * 0.5)));

// What names may cover, from the most legible plot on, and how tall it may become for that.
const COVERS = [{ tallest: 900 }, { tallest: 1400, points: true }, { points: true, isPartial: true }];

// All names of the front are shown, if need be in a taller plot; where none is tall enough, those that have a place.
function drawPlot(board, width = board.width, height = usualHeight(width), [covers, ...others] = COVERS) {
  if (!board.figure || !width) return;
  const { view } = board, x = board.column(view.x), y = board.column(view.y);
  const isLogX = view.xlog === "1", isLogY = view.ylog === "1";
  const points = pointsOf(board);
  if (points.length === 0) {
    board.figure.replaceChildren(element("p", { class: "notes" }, "No architecture shown has both figures."));
    return;
  }
  const frame = { left: 52, top: 26, right: width - 12, bottom: height - 44 };
  const xAxis = makeAxis(points.flatMap((point) => ends(point.x, point.xSpread, isLogX)), isLogX, frame.left, frame.right);
  const yAxis = makeAxis(points.flatMap((point) => ends(point.y, point.ySpread, isLogY)), isLogY, frame.bottom, frame.top);
  for (const point of points) [point.cx, point.cy] = [xAxis.at(point.x), yAxis.at(point.y)];
  const front = paretoFront(board, points, x, y);
  for (const point of points) point.front = front.includes(point);
  const bars = points.map((point) => errorBars(point, xAxis, yAxis, isLogX, isLogY));
  const labels = placeLabels(points, front, x, { left: frame.left + 2, top: 18, right: width - 2, bottom: frame.bottom - 1 }, bars, covers);
  if (!labels && height < covers.tallest) return drawPlot(board, width, Math.round(height * 1.25), [covers, ...others]);
  if (!labels) return drawPlot(board, width, usualHeight(width), others);

  const better = (column, less, more) => ({ max: ` ${more} better`, min: ` ${less} better` })[column.good] ?? "";
  const names = front.map((point) => point.name).join(", ") || "none";
  const marks = points.map((point, index) => mark(board, point, bars[index], x, y));
  const order = [...points].sort((a, b) => a.cx - b.cx).map((point) => marks[points.indexOf(point)]);
  const plot = shape(
    "svg",
    { class: "plot", viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `${heading(y)} against ${heading(x)}. ${points.length} architectures. On the Pareto front: ${names}.` },
    ...grid(frame, xAxis, yAxis),
    text(frame.left - 44, 12, `${heading(y)}${better(y, "↓", "↑")}`, "axis-title"),
    text(frame.right, height - 8, `${heading(x)}${better(x, "←", "→")}`, "axis-title", "end"),
    staircase(front, x, frame),
    ...order,
    ...labels,
  );
  board.figure.replaceChildren(plot);
  openByClicks(board, plot, points);
  moveByKeys(order);
}

// A click opens the nearest point, as the reaches of neighbours overlap; that of a screen reader has no place.
function openByClicks(board, plot, points) {
  plot.addEventListener("click", (event) => {
    if (event.detail === 0) {
      const named = event.target.closest(".mark");
      if (named) board.open(points.find((point) => point.name === named.dataset.name).row);
      return;
    }
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(plot.getScreenCTM().inverse());
    const away = (point) => Math.hypot(point.cx - at.x, point.cy - at.y);
    const nearest = points.reduce((best, point) => (away(point) < away(best) ? point : best));
    if (away(nearest) <= REACH) board.open(nearest.row);
  });
}

const text = (x, y, content, kind, anchor = "start") =>
  shape("text", { x: x.toFixed(1), y: y.toFixed(1), class: kind, "text-anchor": anchor }, content);

function grid(frame, xAxis, yAxis) {
  const lines = yAxis.ticks.flatMap((tick) => [
    shape("path", { class: "grid", d: `M${frame.left} ${yAxis.at(tick).toFixed(1)}H${frame.right}` }),
    text(frame.left - 6, yAxis.at(tick) + 4, tickText(tick), "tick", "end"),
  ]);
  let free = -Infinity; // names of ticks do not overlap
  for (const tick of xAxis.ticks) {
    const at = xAxis.at(tick), wide = measure(tickText(tick));
    lines.push(shape("path", { class: "grid", d: `M${at.toFixed(1)} ${frame.bottom}v4` }));
    const middle = Math.min(at, frame.right + 8 - wide / 2);
    if (middle - wide / 2 < free + 6) continue;
    free = middle + wide / 2;
    lines.push(text(middle, frame.bottom + 17, tickText(tick), "tick", "middle"));
  }
  return lines;
}

// Boxes along the staircase, which labels should not cross.
function strokes(front, end) {
  return front.flatMap((point, index) => {
    const next = front[index + 1] ?? { cx: end, cy: point.cy };
    return [
      { left: Math.min(point.cx, next.cx), right: Math.max(point.cx, next.cx), top: point.cy - 1, bottom: point.cy + 1 },
      { left: next.cx - 1, right: next.cx + 1, top: Math.min(point.cy, next.cy), bottom: Math.max(point.cy, next.cy) },
    ];
  });
}

// The border of what the front is better than.
function staircase(front, x, frame) {
  if (front.length === 0) return "";
  const [first, ...others] = front;
  const steps = others.map((point) => `H${point.cx.toFixed(1)}V${point.cy.toFixed(1)}`).join("");
  return shape("path", { class: "front-line", d: `M${first.cx.toFixed(1)} ${first.cy.toFixed(1)}${steps}H${x.good === "min" ? frame.right : frame.left}` });
}

function errorBars(point, xAxis, yAxis, isLogX, isLogY) {
  const bars = [];
  if (point.ySpread) {
    const [low, high] = ends(point.y, point.ySpread, isLogY).map(yAxis.at);
    bars.push({ left: point.cx - 1, right: point.cx + 1, top: high, bottom: low });
  }
  if (point.xSpread) {
    const [low, high] = ends(point.x, point.xSpread, isLogX).map(xAxis.at);
    bars.push({ left: low, right: high, top: point.cy - 1, bottom: point.cy + 1 });
  }
  return bars;
}

function mark(board, point, bars, x, y) {
  const figures = [y, x].map((column) => {
    const spread = { [y.name]: point.ySpread, [x.name]: point.xSpread }[column.name];
    return `${heading(column)}: ${show(column, figure(board, point.row, column.name))}${spread ? ` (sd ${spread.toFixed(2)})` : ""}`;
  });
  const made = shape(
    "g",
    { class: point.front ? "mark front" : "mark", role: "button", tabindex: "-1", "data-name": point.name, "aria-label": [point.name, ...figures].join(", ") },
    shape("circle", { class: "target", cx: point.cx.toFixed(1), cy: point.cy.toFixed(1), r: REACH }),
    ...bars.map((bar) =>
      bar.right - bar.left > bar.bottom - bar.top
        ? shape("path", { class: "spread", d: `M${bar.left.toFixed(1)} ${point.cy.toFixed(1)}H${bar.right.toFixed(1)}` })
        : shape("path", { class: "spread", d: `M${point.cx.toFixed(1)} ${bar.top.toFixed(1)}V${bar.bottom.toFixed(1)}` }),
    ),
    shape("circle", { cx: point.cx.toFixed(1), cy: point.cy.toFixed(1), r: RADIUS }),
    shape("title", {}, [point.name, ...figures].join("\n")),
  );
  made.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    board.open(point.row);
  });
  return made;
}

// One point is in the order of the Tab key; arrows lead to the others, from left to right.
function moveByKeys(marks) {
  marks[0].setAttribute("tabindex", "0");
  marks.forEach((each, index) =>
    each.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const next = marks[(index + step + marks.length) % marks.length];
      for (const other of marks) other.setAttribute("tabindex", other === next ? "0" : "-1");
      next.focus();
    }),
  );
}

const overlaps = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
const around = ({ cx, cy }, reach = RADIUS) => ({ left: cx - reach, right: cx + reach, top: cy - reach, bottom: cy + reach });

// Returns the labels with their leaders: of all points on the front, and on a wide screen of others where
// there is room. A name of the front without a place is tried again before the others; null if that does not help.
function placeLabels(points, front, x, room, bars, covers) {
  let order = front;
  for (let tries = 0; tries < 8; tries += 1) {
    const { shapes, failed } = placeInOrder(order, points, front, x, room, bars, covers);
    if (!failed) return shapes;
    order = [failed, ...order.filter((point) => point !== failed)];
  }
  return null;
}

function placeInOrder(order, points, front, x, room, bars, covers) {
  const shapes = [], placed = [], lines = strokes(front, x.good === "min" ? room.right : room.left);
  const marks = points.map((point, index) => ({ point, boxes: [around(point), ...bars[index]] }));
  const others = room.right < 480 ? [] : points.filter((point) => !point.front).sort((a, b) => b.y - a.y);
  for (const point of [...order, ...others]) {
    const name = point.row.label;
    const taken = marks.filter((each) => each.point !== point);
    const own = marks.find((each) => each.point === point).boxes.slice(1);
    const boxes = [...taken.flatMap((each) => each.boxes), ...own];
    const wide = front.filter((other) => other !== point).map((other) => around(other, 3 * RADIUS)); // whose name it would seem
    const obstacles = [[...boxes, ...wide, ...lines], [...boxes, ...wide]];
    if (covers.points && point.front) obstacles.push([...wide, ...lines], wide, []);
    const place = findPlace(point, Math.min(measure(name, point.front), room.right - room.left), room, placed, obstacles);
    if (!place) {
      if (point.front && !covers.isPartial) return { failed: point };
      continue;
    }
    placed.push(place.box, ...place.leader);
    if (place.leader.length) {
      const [from, to] = [place.leader[0], place.leader.at(-1)].map((box) => `${(box.left + 1).toFixed(1)} ${(box.top + 1).toFixed(1)}`);
      shapes.push(shape("path", { class: "leader", d: `M${from}L${to}` }));
    }
    shapes.push(text(place.box.left, place.box.bottom - 4, name, point.front ? "label front" : "label"));
  }
  return { shapes };
}

function findPlace(point, wide, room, placed, obstacles) {
  for (const marks of obstacles) {
    for (const place of candidates(point, wide, room, point.front)) {
      const boxes = [place.box, ...place.leader];
      if (!boxes.some((box) => placed.some((each) => overlaps(box, each)) || marks.some((each) => overlaps(box, each)))) return place;
    }
  }
  return null;
}

// Yields places of a label, the most legible first: beside the point, then further away with a leader.
function* candidates(point, wide, room, everywhere) {
  const near = RADIUS + 4;
  const offsets = [[near, 0], [near, -13], [near, 13]];
  for (const rise of [20, 32, 44, 58, 72]) for (const gap of [near, 26]) offsets.push([gap, -rise], [gap, rise]);
  const inside = (box) => box.left >= room.left && box.right <= room.right && box.top >= room.top && box.bottom <= room.bottom;
  const boxAt = (left, middle) => ({ left, right: left + wide, top: middle - LINE / 2, bottom: middle + LINE / 2 });
  for (const [gap, rise] of offsets) {
    for (const side of [-1, 1]) {
      const box = boxAt(side < 0 ? point.cx - gap - wide : point.cx + gap, point.cy + rise);
      const leader = Math.abs(rise) > 13 ? dots(point, side < 0 ? box.right + 2 : box.left - 2, point.cy + rise) : [];
      if (inside(box)) yield { box, leader };
    }
  }
  if (!everywhere) return;
  for (let away = 17; away < room.bottom; away += 5) {
    for (const shift of [0, -0.5, 0.5, -1, 1]) {
      const left = Math.min(Math.max(point.cx + (shift - 0.5) * wide, room.left), room.right - wide);
      for (const rise of [-away, away]) {
        const box = boxAt(left, point.cy + rise), x = Math.min(Math.max(point.cx, box.left), box.right);
        const isNext = away === 17 && x === point.cx; // directly above or below its point
        if (inside(box)) yield { box, leader: isNext ? [] : dots(point, x, rise < 0 ? box.bottom : box.top) };
      }
    }
  }
}

// A leader as a row of small boxes, between the border of the mark and the label.
function dots(point, x, y) {
  const length = Math.hypot(x - point.cx, y - point.cy), count = Math.max(8, Math.ceil(length / 6));
  const first = (RADIUS + 2) / length, last = Math.max(first, 1 - 2 / length);
  return Array.from({ length: count + 1 }, (_, index) => {
    const share = first + ((last - first) * index) / count;
    const [cx, cy] = [point.cx + (x - point.cx) * share, point.cy + (y - point.cy) * share];
    return { left: cx - 1, right: cx + 1, top: cy - 1, bottom: cy + 1 };
  });
}

function makeAxes(board, change) {
  const place = board.section.querySelector(".plots");
  if (!place) return;
  const form = document.getElementById("axes").content.querySelector("form").cloneNode(true);
  form.setAttribute("aria-label", `Axes of the plot of ${board.title}, ${board.fingerprint}`);
  for (const name of ["x", "y"]) {
    form.elements[name].append(...board.numeric.map((column) => element("option", { value: column.name }, heading(column))));
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    for (const name of ["x", "y"]) {
      board.view[name] = form.elements[name].value;
      board.view[`${name}log`] = form.elements[`${name}log`].checked ? "1" : "0";
    }
    change();
  });
  board.axes = form;
  board.figure = element("figure", { class: "live" });
  place.classList.add("live");
  place.replaceChildren(form, board.figure);
  board.width = board.figure.clientWidth; // measured here only, as a measurement after a change is a layout of the page
  new ResizeObserver(([{ contentRect }]) => {
    const width = Math.round(contentRect.width);
    if (width === board.width || !width) return;
    board.width = width;
    drawPlot(board);
  }).observe(board.figure);
}

function fillAxes(board) {
  if (!board.axes) return;
  for (const name of ["x", "y"]) {
    board.axes.elements[name].value = board.view[name];
    board.axes.elements[`${name}log`].checked = board.view[`${name}log`] === "1";
  }
}

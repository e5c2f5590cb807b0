"use strict";
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const PAGE_ROWS = 15;
// Parts of the colour map cividis: one stands out from a light page, the other from a dark one.
const COLOURS = {
  light: ["#00224e", "#123570", "#3b496c", "#575d6d", "#707173", "#8a8678", "#a59c74", "#c3b369", "#e1cc55"],
  dark: ["#5b7fc7", "#7287b5", "#8a90a0", "#a09a84", "#b8aa74", "#d2bf62", "#e9d44e", "#fee838"],
};
const dark = matchMedia("(prefers-color-scheme: dark)");
const $ = (id) => document.getElementById(id);
const state = { plot: null, x: null, y: null, colour: null, selected: null, sort: null, descending: true, shown: PAGE_ROWS };

// Makes an element. Strings among the children become text nodes, so no text of the data is ever read as markup.
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// Rounds as Python does: a number half-way between two goes to the even one. With plain toFixed this page and the commands would
// show the same number differently.
function fixed(value, digits) {
  const halfway = Math.abs(value * 2 ** (digits + 1)) % 2 === 1;
  return (halfway ? (2 * Math.round((value * 10 ** digits) / 2)) / 10 ** digits : value).toFixed(digits);
}

function format(value, column) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value === -Infinity) return "−∞ (singular)";
  if (column.kind === "measure") return fixed(value, 3);
  if (column.kind === "accuracy") return fixed(value, 2);
  return value.toLocaleString("en");
}

const count = (n) => n.toLocaleString("en");
const plural = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
const duration = (seconds) => (seconds < 120 ? `${seconds.toFixed(1)} s` : seconds < 7200 ? `${(seconds / 60).toFixed(1)} min` : `${(seconds / 3600).toFixed(1)} h`);
const columnOf = (key) => state.plot.columns.find((column) => column.key === key);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// --- What the dataset holds ---------------------------------------------------------------------------------------------

function showOverview() {
  document.title = `${data.name}: scores of untrained networks`;
  $("title").textContent = data.name;
  const sum = (key) => data.contents.reduce((total, row) => total + row[key], 0);
  const spaces = new Set(data.contents.map((row) => row.space));
  const sizes = [...new Set(data.contents.flatMap((row) => row.batch_sizes))].sort((a, b) => a - b);
  const tiles = {
    "score rows": count(sum("rows")),
    "architectures": count(data.num_architectures),
    [spaces.size === 1 ? "space" : "spaces"]: count(spaces.size),
    [sizes.length > 1 ? `batch sizes, ${sizes[0]} to ${sizes.at(-1)}` : "batch size"]: sizes.length > 1 ? count(sizes.length) : (sizes[0] ?? "–"),
    "singular rows": count(sum("singular")),
    "failed rows": count(sum("failed")),
  };
  for (const [name, value] of Object.entries(tiles)) {
    $("tiles").append(element("div", {}, element("dt", {}, name), element("dd", {}, value)));
  }
  $("footer").textContent = `Schema ${data.schema_version}, settings ${data.fingerprint}. Made by naswot-ray ${data.version}.`;
}

function fillTable(table, head, rows) {
  const line = element("tr");
  for (const [name, kind] of head) line.append(element("th", { scope: "col", class: kind }, name));
  table.append(element("thead", {}, line));
  const body = element("tbody");
  for (const cells of rows) {
    const row = element("tr");
    cells.forEach((cell, i) => row.append(element("td", { class: `${head[i][1]} ${cell.mark ?? ""}` }, cell.text ?? cell)));
    body.append(row);
  }
  table.append(body);
}

function showMeasures() {
  fillTable($("measures-table"), [["Measure", "text"], ["Version", ""], ["Rows", ""], ["Without a value", ""], ["What it is", "text"]],
    data.measures.map((one) => [one.name, String(one.version), count(one.num_values), count(one.num_lacking), one.formula]));
}

function showContents() {
  const head = [["Space", "text"], ["Images", "text"], ["Architectures", ""], ["Rows", ""], ["ok", ""], ["singular", ""], ["failed", ""],
    ["Batch sizes", ""], ["Seeds", ""], ["Engine, precision, device", "text"], ["Time of all rows, summed", ""]];
  fillTable($("contents-table"), head, data.contents.map((row) => [
    row.space, row.images, count(row.architectures), count(row.rows), count(row.ok), count(row.singular),
    { text: count(row.failed), mark: row.failed ? "short" : "" }, row.batch_sizes.join(", "), row.seeds.join(", "),
    row.engines.join("; "), duration(row.seconds),
  ]));
}

function showCoverage() {
  const groups = new Map();
  for (const point of data.grid) {
    const name = `${point.space}, ${point.images} images`;
    groups.set(name, [...(groups.get(name) ?? []), point]);
  }
  for (const [name, points] of groups) {
    const sizes = [...new Set(points.map((point) => point.batch_size))].sort((a, b) => a - b);
    const seeds = [...new Set(points.map((point) => point.seed))].sort((a, b) => a - b);
    const table = element("table", {}, element("caption", {}, name));
    fillTable(table, [["Batch size", "text"], ...seeds.map((seed) => [`seed ${seed}`, ""])], sizes.map((size) => [
      String(size),
      ...seeds.map((seed) => {
        const point = points.find((each) => each.batch_size === size && each.seed === seed);
        if (!point) return "–";
        const failed = point.failed ? `, ${count(point.failed)} failed` : "";
        if (point.present === point.wanted) return count(point.present) + failed;
        return { text: `${count(point.present)} of ${count(point.wanted)}${failed}`, mark: "short" };
      }),
    ]));
    $("coverage-tables").append(element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name }, table));
  }
}

function showCorrelations() {
  if (!data.correlations.length) {
    $("correlations-table").replaceWith(element("p", { class: "note" }, "No scores are joined with accuracies yet. Run naswot-ray join to join them."));
    return;
  }
  const names = Object.keys(data.predictors);
  const head = [["Space", "text"], ["Images", "text"], ["Trained on", "text"], ["Epochs", ""], ["Batch size", ""], ["Seeds", ""], ["Architectures", ""],
    ...Object.values(data.predictors).map((title) => [title.replaceAll("_", "_\u200b"), ""])]; // a line may break after an underscore
  // If a measure has fewer architectures or seeds than the row says, its cell says how many.
  const fewer = (row, name) => [
    row.num_seeds_of[name] < row.num_seeds ? plural(row.num_seeds_of[name], "seed") : "",
    row.num_architectures_of[name] < row.num_architectures ? plural(row.num_architectures_of[name], "architecture") : "",
  ].filter(Boolean).join(", ");
  const cell = (row, name, best) => {
    const tau = row.tau[name] ?? null;
    if (tau === null) return "–";
    const of = fewer(row, name);
    return { text: fixed(tau, 3) + (of ? ` (${of})` : ""), mark: tau === best ? "best" : "" };
  };
  for (const line of data.outdated) $("correlations-table").before(element("p", { class: "note" }, line));
  fillTable($("correlations-table"), head, data.correlations.map((row) => {
    const best = Math.max(...names.map((name) => row.tau[name] ?? -2));
    return [row.space, row.images, row.dataset, String(row.epochs), String(row.batch_size), String(row.num_seeds), count(row.num_architectures),
      ...names.map((name) => cell(row, name, best))];
  }));
}

function showSql(id, sql) {
  const text = data.sql.setup ? `${data.sql.setup}\n${sql}` : sql;
  const button = element("button", { type: "button" }, "Copy");
  button.setAttribute("aria-label", "Copy the DuckDB query");
  button.addEventListener("click", async () => {
    await copy(text, $(id).querySelector("pre"));
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  $(id).replaceChildren(element("pre", { tabindex: "0", "aria-label": "DuckDB query" }, text), button);
}

async function copy(text, shown) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // the browser does not allow this page to use the clipboard, so select and copy
    getSelection().selectAllChildren(shown);
    document.execCommand("copy");
  }
}

// --- The scatter ----------------------------------------------------------------------------------------------------------

function quantile(values, share) {
  const known = values.filter(Number.isFinite).sort((a, b) => a - b);
  return known.length ? known[Math.round(share * (known.length - 1))] : 0;
}

// The range of an axis. It leaves out the lowest 2 % of the points; the page says how many these are.
function rangeOf(column, x, y) {
  const plotted = column.values.filter((_, i) => Number.isFinite(x.values[i]) && Number.isFinite(y.values[i]));
  const low = quantile(plotted, 0.02);
  const high = quantile(plotted, 1);
  const margin = (high - low) * 0.03 || 1;
  return [low - margin, high + margin];
}

// Plotly interprets some tags in hover texts and titles. Escaping keeps the data's own characters from being taken for tags.
const plain = (text) => text.replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]);

function hoverTexts() {
  const shown = tableColumns();
  return state.plot.arch_ids.map((archId, i) => [
    plain(archId).replaceAll("|+|", "|+<br>|"),
    ...shown.map((column) => `${plain(column.name)}: ${format(column.values[i], column)}`),
  ].join("<br>"));
}

// Densities and taus cover all architectures, even if the points are a sample: Python computed them from the exact numbers.
const pairOf = (pairs, x, y) => pairs.find((each) => (each.x === x && each.y === y) || (each.x === y && each.y === x));
const densityOf = (x, y) => pairOf(state.plot.densities, x, y);
const tauOf = (x, y) => pairOf(state.plot.taus, x, y);

function densityTrace() {
  const found = densityOf(state.x, state.y);
  if (!found) return [];
  const bins = Math.sqrt(found.counts.length);
  const swapped = found.x !== state.x;
  const [xRange, yRange] = swapped ? [found.y_range, found.x_range] : [found.x_range, found.y_range];
  const z = Array.from({ length: bins }, (_, row) => Array.from({ length: bins }, (_, column) => {
    const n = found.counts[swapped ? column * bins + row : row * bins + column];
    return n ? Math.log10(n) : null;
  }));
  const step = (range) => (range[1] - range[0]) / bins;
  return [{
    type: "heatmap", z, x0: xRange[0] + step(xRange) / 2, dx: step(xRange), y0: yRange[0] + step(yRange) / 2, dy: step(yRange),
    colorscale: dark.matches ? [[0, "#232a35"], [1, "#7d8ba0"]] : [[0, "#eceff3"], [1, "#7b8796"]], showscale: false, hoverinfo: "skip",
  }];
}

function drawScatter() {
  const [x, y, colour] = [state.x, state.y, state.colour].map(columnOf);
  const palette = dark.matches ? COLOURS.dark : COLOURS.light;
  const big = state.plot.arch_ids.length > 3000;
  const points = {
    type: "scattergl", mode: "markers", x: x.values, y: y.values, text: hoverTexts(), hovertemplate: "%{text}<extra></extra>",
    marker: {
      size: big ? 4.5 : 7, opacity: big ? 0.75 : 0.9, color: colour.values,
      colorscale: palette.map((each, i) => [i / (palette.length - 1), each]),
      cmin: quantile(colour.values, 0.01), cmax: quantile(colour.values, 0.99),
      colorbar: { title: { text: plain(colour.name), side: "top", font: { size: 12 } }, thickness: 12, outlinewidth: 0, len: 0.9, tickfont: { size: 11 } },
    },
  };
  const chosen = state.selected === null ? [] : [state.selected];
  const mark = {
    type: "scattergl", mode: "markers", x: chosen.map((i) => x.values[i]), y: chosen.map((i) => y.values[i]), hoverinfo: "skip",
    marker: { size: 15, symbol: "circle-open", color: dark.matches ? "#ff9a85" : "#c22f14", line: { width: 3 } },
  };
  const narrow = matchMedia("(max-width: 40rem)").matches;
  if (narrow) points.marker.colorbar = { ...points.marker.colorbar, orientation: "h", y: 1.02, yanchor: "bottom", len: 1, thickness: 10, title: { text: "" } };
  const whole = $("whole-range").checked;
  const axis = (column) => ({
    title: { text: plain(column.label), font: { size: narrow ? 11 : 13 }, standoff: 8 }, gridcolor: css("--line"), zeroline: false, linecolor: css("--line"),
    automargin: true, ...(whole ? { autorange: true } : { range: rangeOf(column, x, y) }),
  });
  const layout = {
    xaxis: axis(x), yaxis: axis(y), showlegend: false, hovermode: "closest", dragmode: narrow ? false : "zoom",
    margin: { l: 20, r: 10, t: narrow ? 10 : 34, b: 20 }, paper_bgcolor: css("--card"), plot_bgcolor: css("--card"),
    font: { color: css("--ink"), family: "system-ui, sans-serif" },
    modebar: { bgcolor: "rgba(0, 0, 0, 0)", color: css("--soft"), activecolor: css("--accent") },
    hoverlabel: { align: "left", bgcolor: css("--card"), bordercolor: css("--soft"), font: { color: css("--ink"), size: 12 } },
  };
  const config = { responsive: true, displaylogo: false, displayModeBar: !narrow, modeBarButtons: [["zoom2d", "pan2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"]] };
  Plotly.react("scatter", [...densityTrace(), points, mark], layout, config);
  showVerdict(x, y, whole);
}

function showVerdict(x, y, whole) {
  const { n, tau, num_singular: singular } = { ...tauOf(x.key, y.key), ...densityOf(x.key, y.key) };
  const all = state.plot.num_architectures;
  const shown = state.plot.arch_ids.length;
  $("verdict").replaceChildren(
    "Kendall τ = ", element("strong", {}, tau === null ? "–" : fixed(tau, 3).replace("-", "−")), ` over ${plural(n, "architecture")}`,
    singular ? `, ${count(singular)} of them singular: they rank last and have no place in the plot` : "",
    n < all ? `; ${count(all - n)} others lack one of the two numbers` : "",
    shown < all ? `; the points are ${count(shown)} of them, grey is the density of all` : "");
  const [lowX, lowY] = [x, y].map((column) => rangeOf(column, x, y)[0]);
  const below = whole ? 0 : x.values.filter((value, i) => Number.isFinite(value) && (value < lowX || y.values[i] < lowY)).length;
  const of = shown < all ? `of the ${plural(shown, "point")}` : below === 1 ? "architecture" : "architectures";
  $("range-note").textContent = below ? `${count(below)} ${of} ${below === 1 ? "lies" : "lie"} below the axes: see Whole range.` : "";
  $("scatter").setAttribute("aria-label", `${y.label} against ${x.label}, coloured by ${columnOf(state.colour).label}`);
}

// --- The cell ---------------------------------------------------------------------------------------------------------------

const OPS_201 = {
  nor_conv_3x3: ["conv 3×3", "--conv3", "", 3], nor_conv_1x1: ["conv 1×1", "--conv1", "9 3", 2.5],
  avg_pool_3x3: ["avg pool 3×3", "--pool", "4 3", 2.5], skip_connect: ["skip", "--skip", "", 1.5], none: ["none", "--none", "1 5", 1.5],
};
const OPS_101 = [["conv 3×3", "--conv3"], ["conv 1×1", "--conv1"], ["max pool 3×3", "--pool"]];

function svg(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function picture(width, height, description, ...children) {
  const arrow = svg("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 9, markerHeight: 9, markerUnits: "userSpaceOnUse", orient: "auto" },
    svg("path", { d: "M0 0L8 4L0 8z", fill: "context-stroke" }));
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": description }, svg("defs", {}, arrow), ...children);
}

const label = (x, y, text) => svg("text", { x, y, "text-anchor": "middle", "dominant-baseline": "central", class: "halo" }, text);

// Draws nodes 0 to 3 in a row. Each edge is an operation (Dong and Yang, ICLR 2020, figure 1).
function drawCell201(archId) {
  const edges = archId.split("+").flatMap((node, to) => node.split("|").filter(Boolean).map((text) => {
    const [op, from] = text.split("~");
    return { op, from: Number(from), to: to + 1 };
  }));
  const at = (node) => 26 + node * 126;
  const middle = 150;
  const shapes = [];
  const labels = [];
  for (const { op, from, to } of edges) {
    const [name, colour, dash, width] = OPS_201[op];
    // Edges between neighbours are straight; 0-2 and 0-3 pass above the row, 1-3 below it.
    const bend = to - from === 1 ? 0 : to - from === 3 ? -200 : from === 0 ? -100 : 110;
    const [x0, x1] = [at(from) + (bend ? 6 : 19), at(to) - (bend ? 8 : 21)];
    const [y0, y1] = bend ? [middle + Math.sign(bend) * 17, middle + Math.sign(bend) * 19] : [middle, middle];
    shapes.push(svg("path", {
      d: bend ? `M${x0} ${y0}Q${(x0 + x1) / 2} ${middle + bend * 1.25} ${x1} ${y1}` : `M${x0} ${y0}L${x1} ${y1}`,
      style: `fill: none; stroke: var(${colour}); stroke-width: ${width}; stroke-dasharray: ${dash || "none"}`, "marker-end": "url(#arrow)",
    }));
    labels.push(label((x0 + x1) / 2, bend ? (y0 + middle + bend * 1.25) / 2 + Math.sign(bend) * 12 : middle - 13, name));
  }
  const names = ["in", "1", "2", "out"];
  const nodes = names.map((name, i) => svg("g", {}, svg("circle", { cx: at(i), cy: middle, r: 18, class: "node" }),
    svg("text", { x: at(i), y: middle, "text-anchor": "middle", "dominant-baseline": "central" }, name)));
  const description = `Cell: ${edges.map(({ op, from, to }) => `${names[from]} to ${names[to]} ${OPS_201[op][0]}`).join(", ")}`;
  return picture(430, 250, description, ...shapes, ...nodes, ...labels);
}

// Draws the vertices of a packed cell (cells.py) in layers, by the length of their longest path from the input.
function drawCell101(packed) {
  const [labels, hex] = packed.split(":");
  const bits = parseInt(hex, 16);
  const size = labels.length + 2;
  const edges = [];
  const layer = Array(size).fill(0);
  for (let to = 1; to < size; to++) {
    for (let from = 0; from < to; from++) {
      if ((bits >> (from + (to * (to - 1)) / 2)) & 1) {
        edges.push([from, to]);
        layer[to] = Math.max(layer[to], layer[from] + 1);
      }
    }
  }
  const depth = layer[size - 1];
  const members = Array.from({ length: depth + 1 }, (_, level) => layer.flatMap((each, i) => (each === level ? [i] : [])));
  const halfWidth = (level) => members[level].length * 59 - 9;
  const widest = Math.max(...members.map((_, level) => halfWidth(level)));
  const middle = Math.max(215, widest + 16 + 9 * edges.length);
  const place = layer.map((level, vertex) => ({
    x: middle + (members[level].indexOf(vertex) - (members[level].length - 1) / 2) * 118, y: 22 + level * 62,
  }));
  const names = Array.from({ length: size }, (_, i) => (i === 0 ? "input" : i === size - 1 ? "output" : OPS_101[labels[i - 1]][0]));
  // Edges between neighbouring layers are straight; the others pass beside the layers that they skip.
  const passing = { "-1": 0, 1: 0 };
  const shapes = edges.map(([from, to]) => {
    const [a, b] = [place[from], place[to]];
    let d = `M${a.x} ${a.y + 15}L${b.x} ${b.y - 17}`;
    if (layer[to] - layer[from] > 1) {
      const side = Math.sign(a.x + b.x - 2 * middle) || (passing[1] > passing[-1] ? -1 : 1);
      const skipped = members.map((_, level) => level).slice(layer[from] + 1, layer[to]);
      const x = middle + side * (Math.max(...skipped.map(halfWidth)) + 14 + 11 * passing[side]++);
      const [y0, y1] = [a.y + 62 - 18, b.y - 62 + 18];
      const [aX, bX] = [a.x + side * 30, b.x + side * 30];
      d = `M${aX} ${a.y + 15}C${aX} ${a.y + 30} ${x} ${y0 - 20} ${x} ${y0}L${x} ${y1}C${x} ${y1 + 20} ${bX} ${b.y - 30} ${bX} ${b.y - 17}`;
    }
    return svg("path", { d, style: "fill: none; stroke: var(--soft); stroke-width: 1.6", "marker-end": "url(#arrow)" });
  });
  const nodes = names.map((name, i) => {
    const colour = i === 0 || i === size - 1 ? "--soft" : OPS_101[labels[i - 1]][1];
    return svg("g", {}, svg("rect", { x: place[i].x - 50, y: place[i].y - 15, width: 100, height: 30, rx: 7, class: "node", style: `stroke: var(${colour}); stroke-width: 2` }),
      svg("text", { x: place[i].x, y: place[i].y, "text-anchor": "middle", "dominant-baseline": "central" }, name));
  });
  const description = `Cell: ${edges.map(([from, to]) => `${names[from]} (${from}) to ${names[to]} (${to})`).join(", ")}`;
  return picture(2 * middle, 44 + depth * 62, description, ...shapes, ...nodes);
}

function drawing(index) {
  if (state.plot.space === "nasbench201") return drawCell201(state.plot.arch_ids[index]);
  if (state.plot.cells?.[index]) return drawCell101(state.plot.cells[index]);
  return element("p", { class: "note" }, "Architectures of this space are not drawn.");
}

function select(index, redraw = true) {
  state.selected = index;
  $("selected-arch").textContent = state.plot.arch_ids[index];
  $("cell").replaceChildren(drawing(index));
  $("selected-values").replaceChildren(...state.plot.columns.flatMap((column) => [
    element("dt", {}, column.name), element("dd", {}, format(column.values[index], column))]));
  for (const row of $("table").tBodies[0].rows) row.setAttribute("aria-selected", String(Number(row.dataset.index) === index));
  if (redraw) {
    const last = $("scatter").data.length - 1;
    Plotly.restyle("scatter", { x: [[columnOf(state.x).values[index]]], y: [[columnOf(state.y).values[index]]] }, [last]);
  }
}

// --- The table ----------------------------------------------------------------------------------------------------------------

function tableColumns() {
  const keys = [state.plot.start.x, state.plot.start.y, state.x, state.y, state.colour, "params", "num_layers"];
  return [...new Set(keys)].map(columnOf).filter(Boolean);
}

function sortedRows() {
  const wanted = $("filter").value.trim().toLowerCase();
  const ids = state.plot.arch_ids;
  const rows = [];
  for (let i = 0; i < ids.length; i++) if (!wanted || ids[i].toLowerCase().includes(wanted)) rows.push(i);
  const sign = state.descending ? -1 : 1;
  const values = state.sort === "arch_id" ? ids : columnOf(state.sort).values;
  const missing = (value) => Number.isNaN(value);
  return rows.sort((i, j) => missing(values[i]) - missing(values[j]) || sign * ((values[i] > values[j]) - (values[i] < values[j])) || i - j);
}

function showTable() {
  const columns = tableColumns();
  if (state.sort !== "arch_id" && !columns.some((column) => column.key === state.sort)) state.sort = state.y;
  const line = element("tr");
  for (const [key, name] of [["arch_id", "Architecture"], ...columns.map((column) => [column.key, column.name])]) {
    const sorted = key === state.sort ? (state.descending ? "descending" : "ascending") : "none";
    const button = element("button", { type: "button", "data-key": key }, name);
    button.addEventListener("click", () => {
      state.descending = key === state.sort ? !state.descending : key !== "arch_id";
      state.sort = key;
      state.shown = PAGE_ROWS;
      showTable();
      $("table").querySelector(`th button[data-key="${CSS.escape(key)}"]`).focus();
    });
    line.append(element("th", { scope: "col", "aria-sort": sorted }, button));
  }
  $("table").tHead.replaceChildren(line);
  const rows = sortedRows();
  $("table").tBodies[0].replaceChildren(...rows.slice(0, state.shown).map((i) => {
    const button = element("button", { type: "button" }, state.plot.arch_ids[i]);
    const row = element("tr", { "data-index": i, "aria-selected": String(i === state.selected) }, element("td", {}, button),
      ...columns.map((column) => element("td", {}, format(column.values[i], column))));
    row.addEventListener("click", () => select(i));
    return row;
  }));
  const sampled = state.plot.arch_ids.length < state.plot.num_architectures;
  $("table-count").textContent = `${count(Math.min(state.shown, rows.length))} of ${count(rows.length)} ${sampled ? "sampled " : ""}architectures`;
  $("more").hidden = state.shown >= rows.length;
  showQueries(columns);
}

function showQueries(columns) {
  const { plot } = state;
  const literal = (text) => `'${text.replaceAll("'", "''")}'`;
  const name = (column) => `"${column.key.replaceAll('"', '""')}"`;
  const query = (chosen, end) => `SELECT arch_id, ${chosen.map((column) => `${column.sql} AS ${name(column)}`).join(", ")} FROM ${plot.from} ` +
    `WHERE space = ${literal(plot.space)} AND images = ${literal(plot.images)} GROUP BY arch_id${end};`;
  const plotted = [...new Set([state.x, state.y, state.colour])].map(columnOf);
  showSql("plot-sql", query(plotted, ""));
  const by = state.sort === "arch_id" ? "arch_id" : name(columnOf(state.sort));
  showSql("table-sql", query(columns, ` ORDER BY ${by} ${state.descending ? "DESC" : "ASC"} NULLS LAST LIMIT ${state.shown}`));
}

// --- Start --------------------------------------------------------------------------------------------------------------------

const KINDS = { baseline: "Size of the network", accuracy: "Trained accuracies" };

function fillSelect(id, key) {
  const { columns } = state.plot;
  const grouped = (label, chosen) => element("optgroup", { label }, ...chosen.map((column) => element("option", { value: column.key }, column.name)));
  const groups = [
    ...measures().map((name) => grouped(name, columns.filter((column) => column.measure === name))),
    ...Object.entries(KINDS).map(([kind, name]) => grouped(name, columns.filter((column) => column.kind === kind))),
  ];
  $(id).replaceChildren(...groups.filter((group) => group.children.length));
  $(id).value = key;
}

const measures = () => [...new Set(state.plot.columns.map((column) => column.measure).filter(Boolean))];

// Selects the measure on the horizontal axis, or none if the axis shows something else.
function showMeasure() {
  $("measure-select").value = columnOf(state.x).measure ?? "";
}

// Puts a measure on the horizontal axis. It keeps the batch size shown there if the measure has it; otherwise it takes the largest.
function chooseMeasure(name) {
  const columns = state.plot.columns.filter((column) => column.measure === name);
  const size = columnOf(state.x).batch_size ?? columnOf(state.plot.start.x).batch_size;
  state.x = (columns.find((column) => column.batch_size === size) ?? columns.at(-1)).key;
  $("x-select").value = state.x;
  drawScatter();
  showTable();
}

function openPlot(plot, plots) {
  Object.assign(state, { plot, ...plot.start, sort: plot.start.y, descending: true, selected: null, shown: PAGE_ROWS });
  $("filter").value = "";
  $("plot-select").value = String(plots.indexOf(plot));
  for (const axis of ["x", "y", "colour"]) fillSelect(`${axis}-select`, state[axis]);
  $("measure-select").replaceChildren(element("option", { value: "", hidden: "" }, "–"), ...measures().map((name) => element("option", { value: name }, name)));
  showMeasure();
  select(sortedRows()[0], false);
  drawScatter();
  showTable();
}

function start() {
  showOverview();
  showCorrelations();
  showContents();
  showMeasures();
  showCoverage();
  for (const name of ["contents", "grid", ...(data.correlations.length ? ["correlations"] : [])]) showSql(`${name}-sql`, data.sql[name]);
  const plots = data.plots.filter((plot) => plot.start.x !== null);
  if (!plots.length) {
    for (const id of ["explore", "table-section"]) $(id).remove();
    return;
  }
  for (const plot of plots) {
    for (const column of plot.columns) {
      column.values = Float64Array.from(column.values, (value) => (value === null ? NaN : value === "-inf" ? -Infinity : value));
    }
  }
  plots.forEach((plot, i) => $("plot-select").append(element("option", { value: i }, `${plot.space}, ${plot.images}`)));
  $("plot-select").addEventListener("change", (event) => openPlot(plots[event.target.value], plots));
  for (const axis of ["x", "y", "colour"]) {
    $(`${axis}-select`).addEventListener("change", (event) => {
      state[axis] = event.target.value;
      showMeasure();
      drawScatter();
      showTable();
    });
  }
  $("measure-select").addEventListener("change", (event) => chooseMeasure(event.target.value));
  $("whole-range").addEventListener("change", drawScatter);
  $("filter").addEventListener("input", () => { state.shown = PAGE_ROWS; showTable(); });
  $("more").addEventListener("click", () => { state.shown += PAGE_ROWS; showTable(); });
  openPlot(plots.find((plot) => plot.columns.some((column) => column.kind === "accuracy")) ?? plots[0], plots);
  $("scatter").on("plotly_click", ({ points }) => { if (points[0].data.hoverinfo !== "skip") select(points[0].pointNumber); });
  for (const media of [dark, matchMedia("(max-width: 40rem)")]) media.addEventListener("change", drawScatter);
}

start();
})();

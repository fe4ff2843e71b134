"use strict";
const data = JSON.parse(document.getElementById("charts").textContent);
const percent = (share) => `${(100 * share).toPrecision(3)} %`;
const longest = innerWidth < 500 ? 10 : 16;
const short = (name) => (name.length > longest ? `${name.slice(0, longest - 1)}…` : name);

/* Charts have the colours of the page, light or dark. */
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
let charts = [];

function drawCharts() {
  charts.forEach((chart) => chart.destroy());
  Chart.defaults.color = color("--dim");
  Chart.defaults.borderColor = color("--line");
  Chart.defaults.font.family = "system-ui, sans-serif";
  Chart.defaults.animation = false;
  Chart.defaults.maintainAspectRatio = false;
  const curves = document.querySelectorAll("#curves canvas");
  charts = [drawBars(), drawMatrix(), ...data.curves.map((curve, k) => drawCurve(curves[k], curve))];
}

/* IoU of each class that occurs, the best first, with its interval as a thin line. */
function drawBars() {
  const order = data.classes.map((_, k) => k).filter((k) => data.iou[k] !== null);
  order.sort((a, b) => data.iou[b] - data.iou[a]);
  const absent = data.classes.filter((_, k) => data.iou[k] === null);
  const note = document.getElementById("absent");
  note.hidden = !absent.length;
  note.textContent = `Neither labelled nor predicted: ${absent.join(", ")}`;
  const canvas = document.getElementById("bars");
  canvas.parentElement.style.height = `${50 + order.length * (order.length > 40 ? 16 : 24)}px`;
  return new Chart(canvas, {
    type: "bar",
    data: {
      labels: order.map((k) => data.classes[k]),
      datasets: [
        {
          label: "95 % interval", data: order.map((k) => data.interval[k] ?? null), grouped: false,
          backgroundColor: color("--text"), barThickness: 2, order: 0,
        },
        {
          label: "IoU", data: order.map((k) => data.iou[k]), grouped: false,
          backgroundColor: color("--accent"), barPercentage: 0.75, order: 1,
        },
      ],
    },
    options: {
      indexAxis: "y",
      interaction: { mode: "index", axis: "y", intersect: false },
      scales: {
        x: { min: 0, max: 1 },
        y: {
          grid: { display: false },
          ticks: { autoSkip: false, callback(k) { return short(this.getLabelForValue(k)); } },
        },
      },
      plugins: {
        legend: { display: false },
        tooltip: { callbacks: { label: ({ dataset, raw }) => `${dataset.label}: ${[raw].flat().map((x) => x.toFixed(3)).join(" to ")}` } },
      },
    },
  });
}

/* The confusion matrix of the classes that occur: the opacity of a cell is its share of the row. */
function drawMatrix() {
  const labels = data.classes.filter((_, k) => data.iou[k] !== null);
  const count = labels.length;
  const share = ([row, , pixels]) => pixels / data.rowPixels[row];
  const cells = data.cells.filter(([row]) => data.rowPixels[row]);
  const accent = color("--accent");
  const side = (length) => Math.max(1, length / count - (count > 40 ? 0 : 1));
  const axis = (title, position) => ({
    type: "category", labels, offset: true, position,
    title: { display: true, text: title },
    // Where labels are left out, so are lines, and the others would cross cells.
    grid: { display: count <= 40, offset: true, tickLength: 0 },
    ticks: { autoSkip: count > 40, callback: (k) => short(labels[k]), font: { size: count > 12 ? 10 : 12 } },
  });
  return new Chart("matrix", {
    type: "matrix",
    data: {
      datasets: [{
        data: cells.map((cell) => ({ x: data.classes[cell[1]], y: data.classes[cell[0]], cell })),
        backgroundColor: ({ raw }) => Chart.helpers.color(accent).alpha(raw ? 0.06 + 0.94 * share(raw.cell) ** 0.7 : 0).rgbString(),
        width: ({ chart }) => side(chart.chartArea?.width ?? 0),
        height: ({ chart }) => side(chart.chartArea?.height ?? 0),
      }],
    },
    options: {
      scales: {
        x: { ...axis("predicted class", "bottom"), ticks: { ...axis().ticks, maxRotation: 90, minRotation: count > 6 ? 90 : 0 } },
        y: { ...axis("true class", "left"), reverse: false }, // the first class at the top
      },
      plugins: {
        legend: { display: false },
        tooltip: {
          displayColors: false,
          callbacks: {
            title: () => "",
            label({ raw: { cell } }) {
              const [row, column, pixels] = cell;
              const what = row === column ? "right" : `predicted as ${data.classes[column]}`;
              return [data.classes[row], `${percent(share(cell))} ${what}`, `${pixels.toLocaleString("en")} pixels`];
            },
          },
        },
      },
    },
  });
}

function drawCurve(canvas, { name, epochs, lines }) {
  const colors = { training: color("--accent"), validation: color("--second") };
  return new Chart(canvas, {
    type: "line",
    data: {
      labels: epochs,
      datasets: Object.entries(lines).map(([label, values]) => ({
        label, data: values, borderColor: colors[label], backgroundColor: colors[label],
        borderWidth: 2, pointRadius: epochs.length > 60 ? 0 : 2, spanGaps: true,
      })),
    },
    options: {
      interaction: { mode: "index", intersect: false },
      scales: { x: { title: { display: true, text: "epoch" } } },
      plugins: {
        title: { display: true, text: name, color: color("--text") },
        legend: { display: Object.keys(lines).length > 1, labels: { boxWidth: 12, boxHeight: 2 } },
      },
    },
  });
}

/* Tables are sorted by the heading that is clicked: numbers from the largest on. */
for (const button of document.querySelectorAll(".sortable th button")) {
  const heading = button.parentElement;
  button.addEventListener("click", () => {
    const column = heading.cellIndex;
    const descending = heading.ariaSort === "none" ? column > 0 : heading.ariaSort === "ascending";
    for (const other of heading.parentElement.cells) other.ariaSort = "none";
    heading.ariaSort = descending ? "descending" : "ascending";
    const body = heading.closest("table").tBodies[0];
    const compare = (a, b) => {
      const [first, second] = [a.cells[column], b.cells[column]];
      return column ? first.dataset.value - second.dataset.value : first.textContent.localeCompare(second.textContent);
    };
    body.append(...[...body.rows].sort((a, b) => (descending ? compare(b, a) : compare(a, b))));
  });
}

/* Each photo is in the file once; the masks lie over copies of it. */
for (const panels of document.querySelectorAll(".panels")) {
  const [first, ...others] = panels.querySelectorAll(".photo");
  for (const photo of others) photo.src = first.src;
}
const images = document.getElementById("images");
for (const input of images.querySelectorAll("input[name=view]")) {
  input.addEventListener("change", () => { images.dataset.view = input.value; });
}
const opacity = document.getElementById("opacity");
const setOpacity = () => images.style.setProperty("--opacity", opacity.value / 100);
opacity.addEventListener("input", setOpacity);
setOpacity();

drawCharts();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawCharts);

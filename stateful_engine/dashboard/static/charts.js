// What pages gain where scripts run: charts along time that can be read off, and a page that renews itself.
// Without it every page says the same. Nothing is stored but whether the page shall renew itself.
"use strict";

(() => {
  const REFRESH_SECONDS = 60;
  const REFRESH_KEY = "stateful_engine.refresh";
  const here = document.currentScript.src;
  const drawn = new Map();
  let library = null;

  // Charts along time

  const beside = (name) => new URL(name, here).href;

  const loadLibrary = () => {
    library ??= new Promise((resolve, reject) => {
      const style = Object.assign(document.createElement("link"), { rel: "stylesheet", href: beside("vendor/uPlot.min.css") });
      const script = Object.assign(document.createElement("script"), { src: beside("vendor/uPlot.iife.min.js") });
      script.onload = () => resolve(window.uPlot);
      script.onerror = reject;
      document.head.append(style, script);
    });
    return library;
  };

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--c-${name}`).trim();

  const figure = (unit) => (_, value) =>
    value == null ? "–" : `${value > 0 ? "+" : ""}${value.toFixed(2).replace("-", "−")} ${unit}`;

  const day = (_, value) => (value == null ? "–" : new Date(value * 1000).toISOString().slice(0, 16).replace("T", " "));

  const axis = (more) => ({
    stroke: colour("quiet"),
    grid: { stroke: colour("grid"), width: 1 },
    ticks: { stroke: colour("grid"), width: 1 },
    ...more,
  });

  // Where the lines end and the drawdown begins: the scale of the lines says nothing about what lies under it.
  const lowest = (given) => Math.min(0, ...given.data.slice(1, -1).flat().filter((value) => value != null));

  const moments = (plot, marks) => {
    const isShort = plot.scales.x.max - plot.scales.x.min < 2 * 86400;
    const form = isShort ? { hour: "2-digit", minute: "2-digit" } : { day: "numeric", month: "short" };
    return marks.map((mark) => new Date(mark * 1000).toLocaleString("en-GB", { ...form, timeZone: "UTC" }));
  };

  const dashes = [undefined, [7, 4], [2, 3]];

  const options = (width, given) => ({
    width,
    height: width < 480 ? 260 : 340,
    tzDate: (seconds) => window.uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    cursor: { y: false, points: { size: 7 } },
    hooks: { ready: [(plot) => plot.setLegend({ idx: plot.data[0].length - 1 })] },
    // The drawdown hangs in the lowest quarter of the picture, the lines stand in the rest.
    scales: {
      x: { time: true },
      y: { range: (_, low, high) => [Math.min(low, 0) - ((Math.max(high, 0) - Math.min(low, 0)) || 1) * 0.38, Math.max(high, 0)] },
      fall: { range: (_, low) => [low || -1, -3 * (low || -1)] },
    },
    axes: [
      axis({ values: moments }),
      axis({ size: 84, values: (_, marks) => marks.map((mark) => (mark < lowest(given) ? "" : `${mark.toLocaleString("en-GB")} ${given.unit}`)) }),
    ],
    series: [
      { label: "UTC", value: day },
      ...given.names.map((name, number) => ({
        label: name,
        stroke: colour(`s${number}`),
        width: 2,
        dash: dashes[number],
        spanGaps: true,
        points: { show: false },
        value: figure(given.unit),
      })),
      {
        label: "drawdown",
        scale: "fall",
        stroke: colour("loss"),
        fill: colour("fall"),
        width: 1,
        spanGaps: true,
        points: { show: false },
        value: figure(given.unit),
      },
    ],
  });

  const stepWithKeys = (plot, box) => {
    box.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const last = plot.data[0].length - 1;
      const index = Math.min(Math.max((plot.cursor.idx ?? (step > 0 ? -1 : last + 1)) + step, 0), last);
      plot.setCursor({ left: plot.valToPos(plot.data[0][index], "x"), top: 10 });
    });
  };

  const draw = (chart, uPlot) => {
    const given = JSON.parse(chart.dataset.series);
    const told = chart.querySelector("svg");
    const box = document.createElement("div");
    box.className = "chart-live";
    box.tabIndex = 0;
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", `${told.querySelector("title").textContent}. ${told.querySelector("desc").textContent}`);
    const plot = new uPlot(options(chart.clientWidth, given), given.data, box);
    stepWithKeys(plot, box);
    chart.replaceChildren(box);
    drawn.set(chart, { plot, told });
  };

  const enhance = async () => {
    const charts = [...document.querySelectorAll(".chart[data-series]")].filter((chart) => !drawn.has(chart));
    if (!charts.length) return;
    const uPlot = await loadLibrary();
    charts.forEach((chart) => draw(chart, uPlot));
  };

  const fit = () => {
    for (const [chart, { plot }] of drawn) {
      const width = chart.clientWidth;
      if (width && width !== plot.width) plot.setSize({ width, height: width < 480 ? 260 : 340 });
    }
  };

  // Colours are drawn into the canvas, so a change between light and dark draws it again.
  const redraw = () => {
    for (const [chart, { plot, told }] of drawn) {
      plot.destroy();
      chart.replaceChildren(told);
    }
    drawn.clear();
    enhance();
  };

  // A page that renews itself

  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  const remembered = () => {
    try {
      return localStorage.getItem(REFRESH_KEY);
    } catch {
      return null;
    }
  };

  const remember = (value) => {
    try {
      localStorage.setItem(REFRESH_KEY, value);
    } catch {
      // The visitor keeps no storage: the choice holds for this page.
    }
  };

  const isBusy = () => {
    const main = document.querySelector("main");
    return document.hidden || main.contains(document.activeElement) && document.activeElement !== main || !getSelection().isCollapsed;
  };

  const renew = async () => {
    if (isBusy()) return;
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!answer.ok || answer.redirected) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector("main");
    if (!fresh) return;
    document.querySelector("main").replaceChildren(...fresh.childNodes);
    drawn.forEach(({ plot }) => plot.destroy());
    drawn.clear();
    await enhance();
  };

  const offerRefresh = () => {
    const place = document.querySelector("[data-refresh]");
    if (!place) return;
    const box = Object.assign(document.createElement("input"), { type: "checkbox" });
    const label = Object.assign(document.createElement("label"), { className: "refresh" });
    const known = remembered();
    box.checked = known === null ? !calm.matches : known === "on";
    box.addEventListener("change", () => remember(box.checked ? "on" : "off"));
    label.append(box, ` renew every ${REFRESH_SECONDS} s`);
    place.replaceChildren(label);
    setInterval(() => box.checked && renew().catch(() => {}), REFRESH_SECONDS * 1000);
  };

  // On a phone the navigation is one line: the page that is open stands in it where it can be seen.
  document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

  enhance().catch(() => {});
  offerRefresh();
  addEventListener("resize", fit);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
})();

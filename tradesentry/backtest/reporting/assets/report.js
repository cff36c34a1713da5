"use strict";
(function () {
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const charts = data.charts, currency = data.verdict.account_currency, root = document.documentElement;
  const config = {
    responsive: true, displaylogo: false, scrollZoom: false, displayModeBar: window.innerWidth < 820 ? false : "hover",
    plotlyServerURL: "", modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
  };
  const PAPER = { whole: 658, half: 314, tall: 316, low: 226 }; // pixels inside a figure on A4, see @media print
  let isPrinting = false;
  const isSmall = () => window.innerWidth < 820;
  const escapeHtml = (value) => String(value).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
  const signed = (value, digits) => value === null ? "—" : (value > 0 ? "+" : value < 0 ? "−" : "") + Math.abs(value).toFixed(digits);
  const minute = (ms) => new Date(ms).toISOString().slice(0, 16).replace("T", " ");
  const rows = (columns, keep) => {
    const picked = columns.symbol.map((_, row) => row).filter(keep);
    return Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, picked.map((row) => values[row])]));
  };
  const unique = (values) => [...new Set(values)];

  function theme() {
    const style = getComputedStyle(root), read = (name) => style.getPropertyValue(`--${name}`).trim();
    return Object.fromEntries(["surface", "border", "text", "muted", "accent", "gain", "loss", "warning", "up", "down", "grid", "zone", "danger"].map((n) => [n, read(n)]));
  }
  const fade = (color, alpha) => {
    const hex = color.replace("#", ""), full = hex.length === 3 ? [...hex].map((c) => c + c).join("") : hex;
    return `rgba(${[0, 2, 4].map((i) => parseInt(full.slice(i, i + 2), 16)).join(",")},${alpha})`;
  };
  function layout(t, extra) {
    const axis = { gridcolor: t.grid, linecolor: t.border, zerolinecolor: t.border, tickfont: { color: t.muted, size: 11 }, automargin: true, fixedrange: isSmall() };
    const merged = Object.assign({
      paper_bgcolor: t.surface, plot_bgcolor: t.surface, margin: { l: 8, r: 8, t: 8, b: 8 }, showlegend: false,
      font: { family: getComputedStyle(document.body).fontFamily, color: t.text, size: 12 }, hovermode: "x unified",
      hoverlabel: { bgcolor: t.surface, bordercolor: t.border, font: { color: t.text, size: 12 }, align: "left" },
      dragmode: isSmall() ? false : "zoom", separators: ".,",
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { color: t.muted, size: 11 } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: t.muted, activecolor: t.accent },
    }, extra);
    for (const name of Object.keys(merged)) if (/^[xy]axis/.test(name)) merged[name] = Object.assign({}, axis, merged[name]);
    return merged;
  }
  const dates = { type: "date", hoverformat: "%Y-%m-%d %H:%M UTC" };
  const titled = (t, text) => ({ text, font: { size: 11, color: t.muted }, standoff: 6 });

  function decided(t, c, colors) {
    const own = [t.accent, t.warning, t.gain, t.danger], names = Object.keys(c).filter((name) => name !== "time");
    const onRight = names.length > 1 && ("g" in c || "votes" in c) ? ["g", "votes"].find((name) => name in c) : null;
    const traces = names.map((name, row) => ({
      x: c.time, y: c[name], name: name.replace(/^w_/, ""), mode: "lines", yaxis: name === onRight ? "y2" : "y",
      line: { color: colors[name] || own[row % own.length], width: 1.3, shape: "hv" }, hovertemplate: "%{y:.2f}",
    }));
    const right = onRight === null ? {} : { yaxis2: { overlaying: "y", side: "right", showgrid: false, title: titled(t, onRight) } };
    return [traces, layout(t, { showlegend: true, xaxis: dates, yaxis: { zeroline: true, zerolinecolor: t.muted }, ...right })];
  }

  const draw = {
    equity(t) {
      const c = charts.equity;
      return [[
        { x: c.time, y: c.equity, name: "equity", mode: "lines", line: { color: t.accent, width: 1.6 }, hovertemplate: `%{y:,.2f} ${escapeHtml(currency)}` },
        { x: c.time, y: c.drawdown, name: "drawdown", yaxis: "y2", mode: "lines", fill: "tozeroy", line: { color: t.down, width: 1 }, fillcolor: fade(t.down, 0.25), hovertemplate: "%{y:.1%}" },
      ], layout(t, {
        xaxis: { ...dates, anchor: "y2" },
        yaxis: { domain: [0.36, 1], title: titled(t, escapeHtml(currency)), tickformat: ",~f" },
        yaxis2: { domain: [0, 0.28], title: titled(t, "drawdown"), tickformat: ".0%", rangemode: "tozero", nticks: 4 },
      })];
    },
    rolling(t) {
      const c = charts.rolling, band = fade(t.accent, 0.14);
      return [[
        { x: c.time, y: c.low, mode: "lines", line: { width: 0 }, hoverinfo: "skip" },
        { x: c.time, y: c.high, mode: "lines", line: { width: 0 }, fill: "tonexty", fillcolor: band, hoverinfo: "skip" },
        { x: c.time, y: c.sharpe, name: "Sharpe", mode: "lines", line: { color: t.accent, width: 1.6 }, hovertemplate: "%{y:.2f}" },
      ], layout(t, { xaxis: dates, yaxis: { zeroline: true, zerolinecolor: t.muted, title: titled(t, "per year") } })];
    },
    votes(t) { return decided(t, charts.votes, { held: t.gain, x: t.accent, votes: t.muted }); },
    weights(t) { return decided(t, charts.weights, {}); },
    turbulence(t) { return decided(t, charts.turbulence, { turbulence: t.accent, g: t.warning }); },
    distribution(t) {
      const c = charts.distribution, last = c.n.length - 1;
      const label = (row) => row === 0 && c.from[0] === -3 ? `below ${signed(c.to[0], 2)} R` : row === last && c.to[last] === 5 ? `above ${signed(c.from[last], 2)} R` : `${signed(c.from[row], 2)} to ${signed(c.to[row], 2)} R`;
      const figures = charts.figures, mean = figures.value[figures.key.indexOf("mean_r")];
      return [[{
        type: "bar", x: c.from.map((from, row) => (from + c.to[row]) / 2), y: c.n, width: c.n.map(() => 0.22), customdata: c.n.map((_, row) => label(row)),
        marker: { color: c.from.map((from) => from >= 0 ? t.up : t.down) }, hovertemplate: "%{customdata}: %{y} trades<extra></extra>",
      }], layout(t, {
        hovermode: "closest", xaxis: { title: titled(t, "R-multiple"), zeroline: true, zerolinecolor: t.muted }, yaxis: { title: titled(t, "trades") }, bargap: 0.1,
        shapes: mean === null ? [] : [{ type: "line", x0: mean, x1: mean, yref: "paper", y0: 0, y1: 1, line: { color: t.text, width: 1.5, dash: "dot" } }],
        annotations: mean === null ? [] : [{ x: mean, yref: "paper", y: 1, text: ` mean ${signed(mean, 2)} R`, showarrow: false, xanchor: "left", yanchor: "top", font: { color: t.text, size: 11 } }],
      })];
    },
    excursion(t) {
      const c = charts.excursion;
      const part = (isWin, name, color, symbol) => {
        const p = rows(c, (row) => (c.r[row] > 0) === isWin);
        return { type: "scatter", mode: "markers", name, x: p.mae, y: p.mfe, customdata: p.r.map((r, i) => `${escapeHtml(p.symbol[i])} ${minute(p.time[i])} UTC, result ${signed(r, 2)} R`),
          marker: { color, symbol, size: 6, opacity: 0.65 }, hovertemplate: "%{customdata}<br>worst %{x:.2f} R, best %{y:.2f} R<extra></extra>" };
      };
      return [[part(true, "won", t.up, "circle"), part(false, "lost", t.down, "x")], layout(t, {
        hovermode: "closest", showlegend: true, xaxis: { title: titled(t, "worst open result, R") }, yaxis: { title: titled(t, "best open result, R") },
      })];
    },
    price(t) {
      const symbol = choice("price") || charts.price.symbol[0], is = (c) => (row) => c.symbol[row] === symbol;
      const bars = rows(charts.price, is(charts.price)), trades = rows(charts.trades, is(charts.trades));
      const zones = rows(charts.zones, is(charts.zones)), marks = rows(charts.marks, is(charts.marks));
      return [[...zoneTraces(t, zones), candles(t, bars), ...tradeTraces(t, trades), ...markTraces(t, marks)], layout(t, {
        hovermode: "closest", showlegend: true, xaxis: { ...dates, rangeslider: { visible: false } }, yaxis: { tickformat: ",~g", side: "right" },
      })];
    },
    closeups(t) {
      const index = Number(choice("closeups") || charts.closeups.trade[0]), c = charts.closeups;
      const picked = c.trade.map((_, row) => row).filter((row) => c.trade[row] === index);
      const bars = Object.fromEntries(Object.entries(c).map(([name, values]) => [name, picked.map((row) => values[row])]));
      const trade = rows(charts.trades, (row) => row === index);
      const edge = { from: bars.time[0], to: bars.time[bars.time.length - 1] };
      const zones = rows(charts.zones, (row) => charts.zones.symbol[row] === trade.symbol[0] && charts.zones.to[row] > edge.from && charts.zones.from[row] < edge.to);
      zones.from = zones.from.map((v) => Math.max(v, edge.from)); zones.to = zones.to.map((v) => Math.min(v, edge.to));
      const marks = rows(charts.marks, (row) => charts.marks.symbol[row] === trade.symbol[0] && charts.marks.time[row] >= edge.from && charts.marks.time[row] <= edge.to);
      return [[...zoneTraces(t, zones), candles(t, bars), ...tradeTraces(t, trade), ...markTraces(t, marks)], layout(t, {
        hovermode: "closest", showlegend: true, xaxis: { ...dates, rangeslider: { visible: false } }, yaxis: { tickformat: ",~g", side: "right" },
      })];
    },
    exposure(t, target) {
      const c = charts.exposure, names = Object.keys(c).filter((name) => name !== "time"), n = names.length, gap = 0.22 / n;
      const largest = Math.max(...names.flatMap((name) => c[name].map((value) => Math.abs(value || 0)))) * 1.05 || 1;
      target.style.height = `${60 + 84 * n}px`;
      const power = 10 ** Math.floor(Math.log10(largest)), step = [5, 2, 1].map((k) => k * power).find((tick) => tick <= largest);
      const axes = {};
      names.forEach((name, i) => {
        axes[`yaxis${i ? i + 1 : ""}`] = { domain: [1 - (i + 1) / n + (i < n - 1 ? gap : 0), 1 - i / n], title: { text: escapeHtml(name), font: { size: 12, color: t.text }, standoff: 6 }, range: [-largest, largest], tickvals: [-step, 0, step], ticksuffix: "x", zeroline: true, zerolinecolor: t.muted };
      });
      return [names.map((name, i) => ({
        x: c.time, y: c[name], yaxis: `y${i ? i + 1 : ""}`, name: escapeHtml(name), mode: "lines", fill: "tozeroy", line: { shape: "hv", width: 1, color: t.accent }, fillcolor: fade(t.accent, 0.25), hovertemplate: "%{y:+.2f}x",
      })), layout(t, { xaxis: { ...dates, anchor: `y${n > 1 ? n : ""}` }, ...axes })];
    },
  };

  Object.assign(draw, {
    heatmap(t) {
      const c = charts.heatmap, pair = Number(choice("heatmap") || 0), picked = c.pair.map((_, row) => row).filter((row) => c.pair[row] === pair);
      const x = unique(picked.map((row) => c.x[row])), y = unique(picked.map((row) => c.y[row]));
      const z = y.map(() => x.map(() => null)), n = y.map(() => x.map(() => 0));
      picked.forEach((row) => { z[y.indexOf(c.y[row])][x.indexOf(c.x[row])] = c.value[row]; n[y.indexOf(c.y[row])][x.indexOf(c.x[row])] = c.n[row]; });
      const largest = Math.max(...picked.map((row) => Math.abs(c.value[row] || 0))) || 1, first = picked[0];
      return [[{
        type: "heatmap", x: x.map(escapeHtml), y: y.map(escapeHtml), z, customdata: n, zmin: -largest, zmax: largest, xgap: 2, ygap: 2,
        colorscale: [[0, t.down], [0.5, t.surface], [1, t.up]], text: z.map((line) => line.map((v) => signed(v, 3))), texttemplate: "%{text}",
        colorbar: { thickness: 10, outlinewidth: 0, tickfont: { color: t.muted, size: 11 }, title: { text: "R", font: { color: t.muted, size: 11 } } },
        hovertemplate: "%{y}, %{x}: %{text} R, mean of %{customdata} variants<extra></extra>",
      }], layout(t, { hovermode: "closest", xaxis: { type: "category", title: titled(t, escapeHtml(c.x_name[first])) }, yaxis: { type: "category", title: titled(t, escapeHtml(c.y_name[first])) } })];
    },
    folds(t) {
      const c = charts.folds, e = charts.equity, at = (date) => Date.parse(`${date}T00:00Z`);
      const mid = c.test_from.map((from, row) => (at(from) + at(c.test_to[row])) / 2);
      const points = (key, name, color, symbol) => ({ type: "scatter", mode: "lines+markers", name, x: mid, y: c[key], yaxis: "y2", line: { color, width: 1, dash: "dot" }, marker: { color, symbol, size: 8 }, hovertemplate: "%{y:+.3f} R" });
      return [[
        { x: e.time, y: e.equity, name: "equity", mode: "lines", line: { color: t.accent, width: 1.6 }, hovertemplate: `%{y:,.2f} ${escapeHtml(currency)}` },
        points("train_mean_r", "chosen, train", t.muted, "circle-open"), points("test_mean_r", "chosen, test", t.accent, "circle"), points("all_test_mean_r", "all variants, test", t.warning, "diamond-open"),
      ], layout(t, {
        showlegend: true, xaxis: { ...dates, anchor: "y2" }, yaxis: { domain: [0.5, 1], title: titled(t, escapeHtml(currency)), tickformat: ",~f" },
        yaxis2: { domain: [0, 0.42], title: titled(t, "mean R"), zeroline: true, zerolinecolor: t.muted },
        shapes: c.test_from.map((from, row) => ({ type: "rect", xref: "x", yref: "paper", x0: at(from), x1: at(c.test_to[row]), y0: 0, y1: 1, layer: "below", line: { width: 0 }, fillcolor: fade(t.zone, row % 2 ? 0.1 : 0.03) })),
      })];
    },
    parameters(t) {
      const c = charts.parameters, name = choice("parameters") || c.parameter[0];
      const picked = c.parameter.map((_, row) => row).filter((row) => c.parameter[row] === name), symbols = unique(picked.map((row) => c.symbol[row]));
      const shapes = ["circle", "diamond", "square", "triangle-up", "cross", "x", "star", "hexagon"];
      return [symbols.map((symbol, i) => {
        const own = picked.filter((row) => c.symbol[row] === symbol), offset = (row) => c.time[row] + (c.until[row] - c.time[row]) * (i + 1) / (symbols.length + 1);
        return { type: "scatter", mode: "markers", name: escapeHtml(symbol), x: own.map(offset), y: own.map((row) => escapeHtml(c.value[row])), customdata: own.map((row) => `${escapeHtml(symbol)} from ${minute(c.time[row])} UTC, weight ${(100 * c.weight[row]).toFixed(0)} %`),
          marker: { symbol: shapes[i % shapes.length], size: own.map((row) => 6 + 10 * c.weight[row]), opacity: 0.7 }, hovertemplate: "%{y}: %{customdata}<extra></extra>" };
      }), layout(t, { hovermode: "closest", showlegend: true, xaxis: dates, yaxis: { type: "category", title: titled(t, escapeHtml(name)), categoryorder: "category ascending" } })];
    },
  });

  function candles(t, c) {
    return { type: "candlestick", name: "bid", x: c.time, open: c.open, high: c.high, low: c.low, close: c.close, showlegend: false,
      increasing: { line: { color: t.up, width: 1 }, fillcolor: fade(t.up, 0.15) }, decreasing: { line: { color: t.down, width: 1 }, fillcolor: t.down }, hoverlabel: { split: false } };
  }
  function tradeTraces(t, c) {
    const isWin = (row) => c.net[row] > 0, all = c.net.map((_, row) => row);
    const text = (row) => `${c.side[row] > 0 ? "Long" : "Short"} ${escapeHtml(c.symbol[row])}${c.tag[row] ? ", " + escapeHtml(c.tag[row].replace(/_/g, " ")) : ""}<br>${minute(c.entry[row])} at ${c.entry_price[row]}<br>${minute(c.exit[row])} at ${c.exit_price[row]}, ${escapeHtml(c.reason[row])}<br>${signed(c.r[row], 2)} R, ${signed(c.net[row], 2)} ${escapeHtml(currency)}`;
    const path = (keep, from, to, a, b) => { const x = [], y = []; all.filter(keep).forEach((row) => { x.push(c[from][row], c[to][row], null); y.push(c[a][row], c[b][row], null); }); return { x, y }; };
    const line = (keep, name, color) => ({ type: "scatter", mode: "lines", name, ...path(keep, "entry", "exit", "entry_price", "exit_price"), line: { color, width: 1.6 }, hoverinfo: "skip" });
    const size = all.length > 60 ? 6 : 10;
    const dots = (keep, name, symbol, x, y, color) => { const r = all.filter(keep); return { type: "scatter", mode: "markers", name, visible: name.startsWith("exit") && all.length > 60 ? "legendonly" : true, x: r.map((i) => c[x][i]), y: r.map((i) => c[y][i]), customdata: r.map(text),
      marker: { symbol, size, color, line: { width: 1, color: t.surface } }, hovertemplate: "%{customdata}<extra></extra>" }; };
    return [
      { type: "scatter", mode: "lines", name: "stop at entry", ...path((row) => c.stop[row] !== null, "entry", "exit", "stop", "stop"), line: { color: t.danger, width: 1.2, dash: "dot" }, hoverinfo: "skip" },
      line(isWin, "won", t.gain), line((row) => !isWin(row), "lost", t.loss),
      dots((row) => c.side[row] > 0, "long entry", "triangle-up", "entry", "entry_price", t.text),
      dots((row) => c.side[row] < 0, "short entry", "triangle-down", "entry", "entry_price", t.text),
      dots(isWin, "exit, won", "square", "exit", "exit_price", t.gain),
      dots((row) => !isWin(row), "exit, lost", "x", "exit", "exit_price", t.loss),
    ];
  }
  function zoneTraces(t, c) {
    return unique(c.name).map((name) => {
      const x = [], y = [];
      c.name.forEach((own, row) => { if (own === name) { x.push(c.from[row], c.to[row], c.to[row], c.from[row], c.from[row], null); y.push(c.low[row], c.low[row], c.high[row], c.high[row], c.low[row], null); } });
      return { type: "scatter", mode: "lines", name: escapeHtml(name), x, y, fill: "toself", fillcolor: fade(t.zone, 0.2), line: { width: 0.8, color: fade(t.zone, 0.6) }, hoverinfo: "skip" };
    });
  }
  function markTraces(t, c) {
    return unique(c.name).map((name) => {
      const r = c.name.map((_, row) => row).filter((row) => c.name[row] === name);
      return { type: "scatter", mode: "markers", name: escapeHtml(name), visible: r.length > 60 ? "legendonly" : true, x: r.map((i) => c.time[i]), y: r.map((i) => c.price[i]), customdata: r.map((i) => `${escapeHtml(name)} ${c.direction[i] > 0 ? "up" : c.direction[i] < 0 ? "down" : ""}, known ${minute(c.time[i])} UTC`),
        marker: { symbol: r.map((i) => c.direction[i] >= 0 ? "arrow-bar-up" : "arrow-bar-down"), size: 7, color: t.warning }, hovertemplate: "%{customdata}<extra></extra>" };
    });
  }

  function choice(key) { const select = document.getElementById(`${key}-choice`); return select ? select.value : null; }
  function fill(key, options) {
    const select = document.getElementById(`${key}-choice`);
    if (!select) return;
    options.forEach(([value, label]) => select.add(new Option(label, value)));
    select.addEventListener("change", () => render(key));
    if (options.length < 2) select.parentElement.hidden = true;
  }
  function render(key) {
    const target = document.getElementById(`chart-${key}`);
    if (!target) return Promise.resolve();
    const [traces, frame] = draw[key](theme(), target);
    frame.autosize = !isPrinting;
    if (isPrinting) {
      frame.width = target.closest(".pair") ? PAPER.half : PAPER.whole;
      frame.height = key === "exposure" ? parseInt(target.style.height, 10) : target.classList.contains("tall") ? PAPER.tall : PAPER.low;
    }
    return Plotly.react(target, traces, frame, config);
  }
  const drawn = () => [...document.querySelectorAll("[data-chart]")].map((node) => node.dataset.chart);
  const renderAll = () => drawn().forEach(render);

  function tableOf(columns) {
    const names = Object.keys(columns), n = columns[names[0]].length, shown = Math.min(n, 500);
    const cell = (name, value) => value === null ? "—" : /^(time|entry|exit|from|to)$/.test(name) && Math.abs(value) > 1e10 ? minute(value) : value;
    const table = document.createElement("table"), head = table.createTHead().insertRow(), body = table.createTBody();
    names.forEach((name) => { const th = document.createElement("th"); th.scope = "col"; th.textContent = name.replace(/_/g, " "); if (typeof columns[name][0] === "number") th.className = "number"; head.append(th); });
    for (let row = 0; row < shown; row += 1) { const line = body.insertRow(); names.forEach((name) => { const td = line.insertCell(); td.textContent = cell(name, columns[name][row]); if (typeof columns[name][row] === "number") td.className = "number"; }); }
    const caption = table.createCaption(); caption.textContent = shown < n ? `First ${shown.toLocaleString("en")} of ${n.toLocaleString("en")} rows` : `${n.toLocaleString("en")} rows`;
    return table;
  }
  document.querySelectorAll("[data-table]").forEach((details) => details.addEventListener("toggle", () => {
    if (!details.open || details.querySelector("table")) return;
    const box = document.createElement("div"); box.className = "scroll"; box.tabIndex = 0;
    box.append(tableOf(charts[details.dataset.table === "price" ? "trades" : details.dataset.table])); details.append(box);
  }));

  const button = document.getElementById("theme"), modes = ["system", "light", "dark"];
  const mode = () => root.dataset.theme || "system";
  const label = () => { button.textContent = `Theme: ${mode()}`; };
  button.addEventListener("click", () => {
    const next = modes[(modes.indexOf(mode()) + 1) % modes.length];
    if (next === "system") delete root.dataset.theme; else root.dataset.theme = next;
    try { if (next === "system") localStorage.removeItem("tradesentry-theme"); else localStorage.setItem("tradesentry-theme", next); } catch (error) { /* a page opened from disk may have no storage */ }
    label(); renderAll();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", renderAll);
  let screenTheme = null;
  window.addEventListener("beforeprint", () => {
    if (isPrinting) return;
    isPrinting = true; screenTheme = root.dataset.theme; root.dataset.theme = "light"; renderAll();
  });
  window.addEventListener("afterprint", () => {
    isPrinting = false;
    if (screenTheme) root.dataset.theme = screenTheme; else delete root.dataset.theme;
    renderAll();
  });

  fill("price", unique(charts.price.symbol).map((symbol) => [symbol, symbol]));
  fill("closeups", unique(charts.closeups.trade).map((row) => {
    const c = charts.trades;
    return [row, `${signed(c.r[row] === null ? c.net[row] : c.r[row], 2)} ${c.r[row] === null ? currency : "R"} · ${c.side[row] > 0 ? "long" : "short"} ${c.symbol[row]} · ${minute(c.entry[row])} · ${c.reason[row]}`];
  }));
  if (charts.heatmap) fill("heatmap", unique(charts.heatmap.pair).map((pair) => { const row = charts.heatmap.pair.indexOf(pair); return [pair, `${charts.heatmap.y_name[row]} by ${charts.heatmap.x_name[row]}`]; }));
  if (charts.parameters) fill("parameters", unique(charts.parameters.parameter).map((name) => [name, name]));
  label();
  // One chart per turn of the event loop: the first is visible and the page scrolls while the others are drawn.
  drawn().reduce((before, key) => before.then(() => render(key)).then(() => new Promise((resolve) => setTimeout(resolve, 0))), Promise.resolve());
})();

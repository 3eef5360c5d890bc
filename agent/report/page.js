"use strict";
// Draws the timeline and the incidents of a trip's report. Text goes into the page as text only (textContent),
// numbers come packed as agent/report/packing.py says.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const make = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const SIGNS = { 1: "○", 2: "■", 3: "▲", 4: "◆" };
  const WORDS = { 1: "minor", 2: "general", 3: "major", 4: "critical" };
  const NOTHING = -32768;
  const LEFT = 58;

  // ---- packed numbers
  const inflated = async (text) => {
    const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new DataView(await new Response(stream).arrayBuffer());
  };
  const times = async (text, unit) => {
    const view = await inflated(text);
    const out = new Array(view.byteLength / 4);
    for (let i = 0, sum = 0; i < out.length; i++) out[i] = (sum += view.getInt32(4 * i, true)) * unit;
    return out;
  };
  const values = async (packed) => {
    const view = await inflated(packed.data);
    const out = new Array(view.byteLength / 2);
    for (let i = 0, sum = 0; i < out.length; i++) {
      sum = ((sum + view.getInt16(2 * i, true)) << 16) >> 16;
      out[i] = sum === NOTHING ? null : sum * packed.scale + packed.offset;
    }
    return out;
  };

  // ---- the view: what part of the trip all charts show, in seconds after t0
  const whole = [0, Math.max(data.t1 - data.t0, 1)];
  const margin = 0.015 * whole[1];
  const limits = [-margin, whole[1] + margin];
  let view = limits.slice();
  let charts = [];
  let chosen = -1;

  const clock = (seconds, fine) => {
    const text = new Date((data.t0 + seconds) * 1000).toISOString();
    return text.slice(11, fine ? 23 : 19);
  };
  const span = (seconds) =>
    seconds < 1 ? `${(1000 * seconds).toFixed(0)} ms`
      : seconds < 120 ? `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`
        : seconds < 7200 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(1)} h`;

  const show = (from, to) => {
    let width = Math.min(Math.max(to - from, 0.05), limits[1] - limits[0]);
    from = Math.min(Math.max(from, limits[0]), limits[1] - width);
    view = [from, from + width];
    for (const chart of charts) chart.setScale("x", { min: view[0], max: view[1] });
    at("span").textContent = `${clock(view[0])} to ${clock(view[1])}, ${span(width)}`;
  };
  const zoom = (factor, around = (view[0] + view[1]) / 2) =>
    show(around - (around - view[0]) * factor, around + (view[1] - around) * factor);
  const move = (part) => show(view[0] + part * (view[1] - view[0]), view[1] + part * (view[1] - view[0]));
  const all = () => show(limits[0], limits[1]);

  // ---- mouse and touch on a chart
  const handle = (chart) => {
    const over = chart.over;
    const valueAt = (clientX) => chart.posToVal(clientX - over.getBoundingClientRect().left, "x");
    over.addEventListener("wheel", (event) => {
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        zoom(Math.exp(Math.min(Math.max(event.deltaY, -60), 60) * 0.01), valueAt(event.clientX));
      } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        event.preventDefault();
        move(event.deltaX / over.clientWidth);
      }
    }, { passive: false });
    over.addEventListener("mousedown", (event) => {
      if (!event.shiftKey || event.button !== 0) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      let last = event.clientX;
      const drag = (moved) => {
        move((last - moved.clientX) / over.clientWidth);
        last = moved.clientX;
      };
      const drop = () => {
        removeEventListener("mousemove", drag);
        removeEventListener("mouseup", drop);
      };
      addEventListener("mousemove", drag);
      addEventListener("mouseup", drop);
    }, true);
    over.addEventListener("dblclick", all);
    let touched = null;
    const seen = (event) => [...event.touches].map((touch) => touch.clientX);
    over.addEventListener("touchstart", (event) => {
      touched = { x: seen(event), y: event.touches[0].clientY, view: view.slice(), mine: event.touches.length > 1 };
    }, { passive: true });
    over.addEventListener("touchmove", (event) => {
      if (!touched) return;
      const now = seen(event);
      if (now.length !== touched.x.length) { touched = { ...touched, x: now, view: view.slice() }; return; }
      const scale = (touched.view[1] - touched.view[0]) / over.clientWidth;
      if (now.length > 1) {
        event.preventDefault();
        const left = over.getBoundingClientRect().left;
        const before = Math.abs(touched.x[1] - touched.x[0]) || 1;
        const factor = before / (Math.abs(now[1] - now[0]) || 1);
        const middle = touched.view[0] + ((touched.x[0] + touched.x[1]) / 2 - left) * scale;
        const where = ((now[0] + now[1]) / 2 - left) * scale * factor;
        show(middle - where, middle - where + (touched.view[1] - touched.view[0]) * factor);
      } else if (touched.mine || Math.abs(now[0] - touched.x[0]) > 8) {
        touched.mine = true;
        if (event.cancelable) event.preventDefault();
        const shift = (touched.x[0] - now[0]) * scale;
        show(touched.view[0] + shift, touched.view[1] + shift);
      }
    }, { passive: false });
    over.addEventListener("touchend", () => { touched = null; });
  };

  const axis = (options) => ({
    stroke: colour("soft"), grid: { stroke: colour("grid"), width: 1 }, ticks: { show: false },
    font: "12px system-ui, sans-serif", ...options,
  });
  const clockAxis = (labels) => axis({
    size: labels ? 28 : 8,
    space: 84,
    values: (_, ticks) => labels
      ? ticks.map((tick) => (view[1] - tick) / (view[1] - view[0]) * (width() - LEFT) < 20 ? "" : clock(tick, view[1] - view[0] < 2).slice(0, view[1] - view[0] < 2 ? 12 : 8)) : ticks.map(() => ""),
    incrs: [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600,
      43200, 86400, 172800, 604800, 2592000],
  });

  // ---- what is drawn behind lines
  const shade = (chart, from, to, colours) => {
    const { left, width, top, height } = chart.bbox;
    const a = Math.max(chart.valToPos(from, "x", true), left);
    const b = Math.min(chart.valToPos(to, "x", true), left + width);
    if (b < left || a > left + width) return;
    chart.ctx.fillStyle = colours;
    chart.ctx.fillRect(a, top, Math.max(b - a, devicePixelRatio), height);
  };
  const behind = (panel) => (chart) => {
    const { ctx, bbox } = chart;
    const [low, high] = panel.band;
    if (low !== null || high !== null) {
      const clip = (y) => Math.min(Math.max(y, bbox.top), bbox.top + bbox.height);
      const top = clip(high === null ? bbox.top : chart.valToPos(high, "y", true));
      const bottom = clip(low === null ? bbox.top + bbox.height : chart.valToPos(low, "y", true));
      ctx.fillStyle = colour("band");
      ctx.fillRect(bbox.left, top, bbox.width, bottom - top);
    }
    for (const [stream, start, end] of data.gaps) if (stream === panel.stream) shade(chart, start, end, colour("gap"));
    if (chosen >= 0) {
      const event = data.events[chosen];
      shade(chart, event.start, event.end === null ? whole[1] : event.end, "rgba(213, 94, 0, .16)");
    }
  };

  const width = () => at("charts").clientWidth - 10;
  const lines = (panel) => panel.drawn.length;

  const build = async () => {
    for (const panel of data.panels) {
      if (panel.drawn) continue;
      panel.x = await times(panel.t, 0.001);
      panel.drawn = [];
      for (const line of panel.lines) {
        panel.drawn.push(await values(line.low));
        if (line.high) panel.drawn.push(await values(line.high));
      }
    }
    draw();
  };

  const title = (name, unit, note) => {
    const head = make("div", "chart-title");
    const said = make("span");
    said.append(make("b", "", name), document.createTextNode(unit ? ` ${unit}` : ""));
    if (note) said.append(document.createTextNode(`  ${note}`));
    const value = make("span", "value");
    head.append(said, value);
    return [head, value];
  };

  const draw = () => {
    for (const chart of charts) chart.destroy();
    charts = [];
    const place = at("charts");
    place.replaceChildren();
    if (data.events.length) charts.push(lane(place));
    data.panels.forEach((panel, i) => charts.push(plot(place, panel, i === data.panels.length - 1)));
    for (const chart of charts) handle(chart);
    show(...view);
    if (!document.documentElement.dataset.ready) performance.mark("ready");
    document.documentElement.dataset.ready = "yes";
  };

  const sync = { key: "trip", setSeries: false };
  const cursor = () => ({
    sync: { ...sync }, drag: { x: true, y: false, setScale: false }, points: { size: 6 }, y: false,
    bind: { dblclick: () => null },
  });
  const selected = (chart) => {
    const { left, width: wide } = chart.select;
    if (wide > 6) show(chart.posToVal(left, "x"), chart.posToVal(left + wide, "x"));
    chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  };

  // a value with none beside it has no line: it gets a dot
  const none = (value) => value === null || value === undefined;
  const alone = (chart, index) => {
    const drawn = chart.data[index];
    const found = [];
    for (let i = 0; i < drawn.length; i++) {
      if (!none(drawn[i]) && none(drawn[i - 1]) && none(drawn[i + 1])) found.push(i);
    }
    return found;
  };

  const plot = (place, panel, last) => {
    const box = make("div", "chart");
    const drawn = panel.lines.length === 1 && panel.lines[0].high ? "band" : "line";
    const [head, value] = title(panel.title, panel.unit, panel.lines[0].label);
    if (panel.about) head.title = panel.about;
    place.append(head, box);
    const stroke = colour("x");
    const series = [{}, ...panel.drawn.map(() => ({
      stroke, width: 1.4, points: { show: true, size: 5, fill: stroke, filter: alone }, spanGaps: false,
    }))];
    return new uPlot({
      width: width(), height: (innerWidth < 640 ? 92 : 104) + (last ? 20 : 0), padding: [8, 8, 0, 0],
      legend: { show: false }, cursor: cursor(), series,
      bands: drawn === "band" ? [{ series: [2, 1], fill: stroke + "55" }] : [],
      scales: {
        x: { time: false, range: () => view },
        y: { range: (_, low, high) => {
          if (low === null) return [0, 1];
          const room = Math.max((high - low) * 0.08, Math.abs(high) * 0.02, 0.5 * 10 ** -panel.digits);
          return [panel.zero && low >= 0 ? 0 : low - room, high + room];
        } },
      },
      axes: [clockAxis(last), axis({ size: LEFT, space: 26 })],
      hooks: {
        drawClear: [behind(panel)],
        setSelect: [selected],
        setCursor: [(chart) => {
          const i = chart.cursor.idx;
          const said = i === null || i === undefined ? [] : panel.drawn.map((line) => line[i]).filter((v) => v !== null && v !== undefined);
          value.textContent = said.length ? `${said.map((v) => v.toFixed(panel.digits)).join(" to ")} ${panel.unit} at ${clock(panel.x[i])}` : "";
        }],
      },
    }, [panel.x, ...panel.drawn], box);
  };

  // ---- the lane of events: a row a type, a sign a severity
  const visible = (event) =>
    event.severity >= Number(at("least") ? at("least").value : 1) && !hidden.has(event.type);
  const hidden = new Set();
  const sign = (ctx, severity, x, y, size) => {
    ctx.beginPath();
    if (severity === 4) { ctx.moveTo(x, y - size); ctx.lineTo(x + size, y); ctx.lineTo(x, y + size); ctx.lineTo(x - size, y); }
    else if (severity === 3) { ctx.moveTo(x, y - size); ctx.lineTo(x + size, y + size * 0.8); ctx.lineTo(x - size, y + size * 0.8); }
    else if (severity === 2) ctx.rect(x - size * 0.75, y - size * 0.75, size * 1.5, size * 1.5);
    else ctx.arc(x, y, size * 0.8, 0, 2 * Math.PI);
    ctx.closePath();
    if (severity === 1) ctx.stroke(); else ctx.fill();
  };
  const lane = (place) => {
    const kinds = [...new Set(data.events.map((event) => event.type))].sort();
    const names = Object.fromEntries(data.events.map((event) => [event.type, event.name]));
    const [head, value] = title("Events", "", "○ minor  ■ general  ▲ major  ◆ critical");
    const box = make("div", "chart");
    place.append(head, box);
    const rowOf = (type) => kinds.length - 1 - kinds.indexOf(type);
    const chart = new uPlot({
      width: width(), height: 22 + 26 * kinds.length, padding: [4, 8, 0, 0], legend: { show: false },
      cursor: { ...cursor(), points: { show: false } },
      series: [{}, { show: true, stroke: "transparent", points: { show: false } }],
      scales: { x: { time: false, range: () => view }, y: { range: () => [-0.5, kinds.length - 0.5] } },
      axes: [clockAxis(false), axis({ size: LEFT, values: () => [], splits: () => kinds.map((_, i) => i), grid: { show: false } })],
      hooks: {
        setSelect: [selected],
        draw: [(u) => {
          const { ctx, bbox } = u;
          const dot = devicePixelRatio;
          ctx.save();
          ctx.font = `${12 * dot}px system-ui, sans-serif`;
          ctx.textBaseline = "middle";
          ctx.beginPath();
          ctx.rect(bbox.left - 6 * dot, bbox.top - 8 * dot, bbox.width + 12 * dot, bbox.height + 16 * dot);
          ctx.clip();
          for (const kind of kinds) {
            const y = u.valToPos(rowOf(kind), "y", true);
            ctx.fillStyle = colour("grid");
            ctx.fillRect(bbox.left, y + 12 * dot, bbox.width, dot);
          }
          ctx.lineWidth = 1.6 * dot;
          data.events.forEach((event, i) => {
            if (!visible(event)) return;
            const y = u.valToPos(rowOf(event.type), "y", true);
            const x = u.valToPos(event.start, "x", true);
            const end = u.valToPos(event.end === null ? whole[1] : event.end, "x", true);
            if (end < bbox.left - 8 * dot || x > bbox.left + bbox.width + 8 * dot) return;
            ctx.fillStyle = ctx.strokeStyle = colour(`s${event.severity}`);
            if (end - x > 4 * dot) {
              ctx.globalAlpha = 0.35;
              ctx.fillRect(Math.max(x, bbox.left), y - 4 * dot, Math.min(end, bbox.left + bbox.width) - Math.max(x, bbox.left), 8 * dot);
              ctx.globalAlpha = 1;
            }
            sign(ctx, event.severity, x, y, 6 * dot);
            if (i === chosen) {
              ctx.strokeStyle = colour("ink");
              ctx.beginPath();
              ctx.arc(x, y, 10 * dot, 0, 2 * Math.PI);
              ctx.stroke();
            }
          });
          ctx.restore();
          ctx.save();
          ctx.font = `${11.5 * dot}px system-ui, sans-serif`;
          ctx.textBaseline = "middle";
          ctx.textAlign = "left";
          ctx.fillStyle = colour("soft");
          for (const kind of kinds) {
            const words = names[kind].split(" ");
            const y = u.valToPos(rowOf(kind), "y", true);
            const two = ctx.measureText(names[kind]).width > (LEFT - 2) * dot && words.length > 1;
            const parts = two ? [words.slice(0, Math.ceil(words.length / 2)).join(" "), words.slice(Math.ceil(words.length / 2)).join(" ")] : [names[kind]];
            parts.forEach((part, i) => ctx.fillText(part, 4 * dot, y + (i - (parts.length - 1) / 2) * 12 * dot, LEFT * dot - 2 * dot));
          }
          ctx.restore();
        }],
        setCursor: [(u) => {
          const event = data.events[near(u)];
          value.textContent = event ? `${event.name} ${event.how}, ${WORDS[event.severity]}` : "";
        }],
      },
    }, [[0, whole[1]], [null, null]], box);
    const near = (u) => {
      let best = -1;
      let least = 14;
      data.events.forEach((event, i) => {
        if (!visible(event)) return;
        const from = u.valToPos(event.start, "x");
        const to = u.valToPos(event.end === null ? whole[1] : event.end, "x");
        const dx = u.cursor.left < from ? from - u.cursor.left : Math.max(0, u.cursor.left - to);
        const far = Math.hypot(dx, u.valToPos(rowOf(event.type), "y") - u.cursor.top) + (dx === 0 ? 2 : 0)
          + 0.001 * Math.abs(u.cursor.left - from);
        if (far < least) { least = far; best = i; }
      });
      return best;
    };
    let pressed = 0;
    chart.over.addEventListener("mousedown", (event) => { pressed = event.clientX; });
    chart.over.addEventListener("click", (event) => {
      if (Math.abs(event.clientX - pressed) > 4) return;
      const rect = chart.over.getBoundingClientRect();
      chart.setCursor({ left: event.clientX - rect.left, top: event.clientY - rect.top }, false);
      const found = near(chart);
      if (found >= 0) choose(found, true);
    });
    chart.over.classList.add("clickable");
    return chart;
  };

  // ---- incidents
  let clips = [];
  let turn = 0;
  const order = () => data.events.map((_, i) => i).filter((i) => visible(data.events[i]));
  const step = (by) => {
    const list = order();
    if (!list.length) return;
    const here = list.indexOf(chosen);
    const next = here < 0 ? (by > 0 ? 0 : list.length - 1) : Math.min(Math.max(here + by, 0), list.length - 1);
    choose(list[next], false);
  };
  const locate = () => {
    if (chosen < 0) return;
    const { start, end } = data.events[chosen];
    const long = Math.max((end === null ? whole[1] : end) - start, 0.2);
    show(start - Math.max(2 * long, 3), start + long + Math.max(2 * long, 3));
  };

  const choose = async (index, scroll, seek = true) => {
    chosen = index;
    const mine = ++turn;
    const event = data.events[index];
    for (const row of document.querySelectorAll("tr[data-event]")) row.classList.toggle("chosen", Number(row.dataset.event) === index);
    if (seek) locate(); else for (const chart of charts) chart.redraw(false);
    const list = order();
    at("position").textContent = `${list.indexOf(index) + 1} of ${list.length}`;
    if (seek) history.replaceState(null, "", `#incident-${index + 1}`);
    const place = at("viewer");
    const head = make("h3");
    head.append(document.createTextNode(`${event.name} ${event.how} `));
    head.append(make("span", `severity s${event.severity}`, `${SIGNS[event.severity]} ${WORDS[event.severity]}`));
    const facts = make("dl", "facts");
    for (const [name, value] of event.facts) {
      const pair = make("div");
      pair.append(make("dt", "", name), make("dd", "", value));
      facts.append(pair);
    }
    for (const clip of clips) clip.destroy();
    clips = [];
    place.replaceChildren(head, facts);
    place.dataset.incident = String(index);
    delete place.dataset.drawn;
    if (scroll) at("incident").scrollIntoView({ block: "start" });
    if (!event.clips.length) place.append(make("p", "hint", "No samples at full rate are in this page for this event."));
    for (const clip of event.clips) {
      if (!clip.x) {
        const drawn = await Promise.all(clip.values.map(values));
        clip.x = (await times(clip.t, 1e-6)).map((t) => t + clip.start);
        clip.drawn = drawn;
      }
      if (mine !== turn) return;
      clips.push(clipPlot(place, event, clip, clip.x, clip.drawn));
    }
    place.dataset.drawn = String(event.clips.length);
  };

  const clipPlot = (place, event, clip, x, drawn) => {
    const axes = clip.axes.slice();
    const names = ["x", "y", "z"];
    const strokes = axes.map((name, i) => names[i] || "total");
    if (clip.total) {
      drawn = [...drawn, x.map((_, i) => Math.hypot(drawn[0][i], drawn[1][i], drawn[2][i]))];
      axes.push("total");
      strokes.push("total");
    }
    const head = make("div", "chart-title");
    const said = make("span");
    said.append(make("b", "", clip.stream.charAt(0).toUpperCase() + clip.stream.slice(1)), document.createTextNode(` ${clip.unit}, ${x.length} samples, ${clip.rate} a second`));
    axes.forEach((name, i) => said.append(make("i", `key k${strokes[i].charAt(0)}`), document.createTextNode(name)));
    const value = make("span", "value");
    head.append(said, value);
    const box = make("div", "chart");
    place.append(head, box);
    if (clip.cut) place.append(make("p", "hint", "Cut here: it went on for longer than a page can hold at full rate; the timeline shows the rest."));
    const chart = new uPlot({
      width: place.clientWidth - 20, height: innerWidth < 640 ? 200 : 240, padding: [8, 8, 0, 0], legend: { show: false },
      cursor: { drag: { x: true, y: false }, sync: { key: "clip" }, points: { size: 5 }, y: false },
      series: [{}, ...axes.map((name, i) => ({
        stroke: colour(strokes[i]), width: name === "total" ? 1 : 1.5, dash: name === "total" ? [4, 3] : undefined, points: { size: 4 },
      }))],
      scales: { x: { time: false } },
      axes: [
        axis({ size: 30, space: 70, values: (_, ticks) => ticks.map((tick) => Math.abs(x[x.length - 1] - x[0]) < 3 ? `${Math.round(tick * 1000)} ms` : `${+tick.toFixed(2)} s`) }),
        axis({ size: LEFT, space: 32 }),
      ],
      hooks: {
        drawClear: [(u) => {
          const end = event.end === null ? x[x.length - 1] : event.end - event.start;
          shade(u, 0, Math.min(end, x[x.length - 1]), "rgba(213, 94, 0, .13)");
        }],
        setCursor: [(u) => {
          const i = u.cursor.idx;
          value.textContent = i === null || i === undefined ? "" : `${(1000 * x[i]).toFixed(0)} ms: ${axes.map((name, k) => `${name} ${drawn[k][i] === null ? "–" : drawn[k][i].toPrecision(3)}`).join(", ")}`;
        }],
      },
    }, [x, ...drawn], box);
    box.setAttribute("role", "img");
    box.setAttribute("aria-label", `${clip.stream}, ${x.length} samples around the event`);
    return chart;
  };

  // ---- what people press
  const press = (id, act) => { if (at(id)) at(id).addEventListener("click", act); };
  press("zoom-in", () => zoom(0.5));
  press("zoom-out", () => zoom(2));
  press("zoom-left", () => move(-0.3));
  press("zoom-right", () => move(0.3));
  press("zoom-all", all);
  press("previous", () => step(-1));
  press("next", () => step(1));
  press("locate", () => { locate(); at("charts").scrollIntoView({ block: "center" }); });
  for (const button of document.querySelectorAll("[data-open]")) {
    button.addEventListener("click", () => choose(Number(button.dataset.open), true));
  }
  const filter = () => {
    hidden.clear();
    for (const box of document.querySelectorAll("input[name=kind]")) if (!box.checked) hidden.add(box.value);
    for (const row of document.querySelectorAll("tr[data-event]")) row.hidden = !visible(data.events[Number(row.dataset.event)]);
    for (const chart of charts) chart.redraw(false);
    const list = order();
    if (chosen >= 0) at("position").textContent = list.includes(chosen) ? `${list.indexOf(chosen) + 1} of ${list.length}` : "";
  };
  for (const input of document.querySelectorAll("input[name=kind], #least")) input.addEventListener("change", filter);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const onCharts = event.target.id === "charts";
    const act = {
      n: () => step(1), p: () => step(-1),
      "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: all,
      ...(onCharts ? { ArrowLeft: () => move(-0.2), ArrowRight: () => move(0.2), ArrowUp: () => zoom(0.5), ArrowDown: () => zoom(2), Home: all } : {}),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  const again = () => { draw(); if (chosen >= 0) choose(chosen, false, false); };
  let wide = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === wide) return;
    wide = innerWidth;
    again();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  addEventListener("beforeprint", () => { document.documentElement.classList.add("paper"); again(); });
  addEventListener("afterprint", () => { document.documentElement.classList.remove("paper"); again(); });

  build().then(() => {
    const asked = /^#incident-(\d+)$/.exec(location.hash);
    const worst = data.events.reduce((best, event, i) => (best < 0 || event.severity > data.events[best].severity ? i : best), -1);
    if (asked && data.events[asked[1] - 1]) choose(asked[1] - 1, true);
    else if (worst >= 0) choose(worst, false, false);
  });
})();

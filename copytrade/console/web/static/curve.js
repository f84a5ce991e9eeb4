// A curve of equity over time, drawn as SVG.
import { el, money } from "./ui.js";

const WIDE = 1000;
const HIGH = 200;

function shape(tag, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

const when = (time, span) => new Date(time).toLocaleString("en-GB", span > 2 * 86400000 ? { day: "numeric", month: "short" } : { hour: "2-digit", minute: "2-digit" });

export function curve(place, points, currency) {
  if (points.length < 2) {
    place.replaceChildren(el("p", { class: "sub" }, "The curve begins with the second reading of the balance."));
    return;
  }
  const [from, to] = [points[0][0], points.at(-1)[0]];
  const values = points.map((point) => point[1]);
  const least = Math.min(...values);
  const most = Math.max(...values);
  const air = (most - least) * 0.12 || Math.max(1, most * 0.002);
  const x = (time) => (WIDE * (time - from)) / Math.max(1, to - from);
  const y = (value) => HIGH - (HIGH * (value - least + air)) / (most - least + 2 * air);
  const line = points.map(([time, value]) => `${x(time).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  const svg = shape("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", role: "img", "aria-label": `Equity from ${money(values[0])} to ${money(values.at(-1))} ${currency}` });
  for (const height of [0.25, 0.5, 0.75]) svg.append(shape("line", { class: "grid", x1: 0, x2: WIDE, y1: HIGH * height, y2: HIGH * height }));
  svg.append(shape("polygon", { class: "area", points: `0,${HIGH} ${line} ${WIDE},${HIGH}` }), shape("polyline", { class: "line", points: line }));
  const tip = el("div", { class: "tip", hidden: true });
  const axis = (cls, text) => el("span", { class: `axis ${cls}` }, text);
  place.replaceChildren(svg, axis("top-left", money(most + air)), axis("bottom-left", money(least - air)), axis("from", when(from, to - from)), axis("to", when(to, to - from)), tip);
  place.onpointermove = (event) => {
    const box = svg.getBoundingClientRect();
    const time = from + ((to - from) * (event.clientX - box.left)) / box.width;
    const near = points.reduce((best, point) => (Math.abs(point[0] - time) < Math.abs(best[0] - time) ? point : best));
    tip.hidden = false;
    tip.textContent = `${money(near[1])} ${currency} · ${new Date(near[0]).toLocaleString("en-GB")}`;
    tip.style.left = `${Math.min(Math.max((100 * x(near[0])) / WIDE, 18), 82)}%`;
  };
  place.onpointerleave = () => { tip.hidden = true; };
}

import { accountPair, badge, by, chips, clock, count, el, money, ms, quantity, tone, words } from "./ui.js";
import { frame } from "./frame.js";
import { Table } from "./table.js";

const key = document.body.dataset.key;
const HOPS = [
  ["plan", "Planned", "planned_ms", null], ["send", "Sent", "sent_ms", "planned_ms"],
  ["ack", "Answered", "acked_ms", "sent_ms"], ["fill", "At its end", "ended_ms", "acked_ms"],
];
const at = {};
let reasons = {};
let scale = 1;
let test = () => true;
let searched = "";
const cell = (row, name) => row[at[name]];
const skipped = (row) => cell(row, "state") === "skipped";

function hop(row, name, before) {
  const then = cell(row, name);
  if (then === null || skipped(row)) return null;
  return before === null ? then : cell(row, before) === null ? null : then - cell(row, before);
}

function fall(row) {
  if (skipped(row)) return "";
  const bars = [];
  for (const [name, , to, from] of HOPS) {
    const length = hop(row, to, from);
    if (length === null) continue;
    const bar = el("i", { class: `hop-${name}` });
    bar.style.left = `${(100 * (cell(row, to) - length)) / scale}%`;
    bar.style.width = `${(100 * length) / scale}%`;
    bars.push(bar);
  }
  return el("div", { class: "fall" }, ...bars);
}

const why = (row) => `${reasons[cell(row, "reason")] || cell(row, "reason")}${cell(row, "detail") ? ` (${cell(row, "detail")})` : ""}`;

const table = new Table(by("table"), {
  key: (row) => `${row[0]}/${row[1]}`, empty: "Nobody has answered this signal yet.",
  wide: "minmax(130px, .9fr) 84px 92px 92px 70px 62px 80px 70px minmax(100px, .8fr) minmax(200px, 2.6fr)",
  phone: "minmax(0, 1fr) 74px minmax(0, 1.3fr)",
  columns: [
    { name: "account", title: "Account", sort: (row) => row[0], cell: (row) => accountPair(row[0]) },
    { name: "state", title: "State", sort: (row) => cell(row, "state"), cell: (row) => badge(cell(row, "state")) },
    { name: "quantity", title: "Quantity", cls: "num wide-only", sort: (row) => Number(cell(row, "quantity")), cell: (row) => quantity(cell(row, "quantity")) },
    { name: "filled", title: "Filled", cls: "num wide-only", sort: (row) => Number(cell(row, "filled")), cell: (row) => quantity(cell(row, "filled")) },
    ...HOPS.map(([name, title, to, from]) => ({ name, title: title === "At its end" ? "Filled +" : `${title} +`, cls: "num wide-only", sort: (row) => hop(row, to, from) ?? -1, cell: (row) => ms(hop(row, to, from)) })),
    { name: "fall", title: "Way", cls: "wide-only", cell: fall },
    { name: "why", title: "Why", cell: (row) => el("span", { title: why(row), class: "mute clamp" }, why(row)) },
  ],
});

const counted = chips(by("chips"), [
  ["all", "All", () => true],
  ["sent", "Placed", (row) => ["accepted", "filled", "cancelled"].includes(cell(row, "state"))],
  ["way", "On their way", (row) => ["approved", "deferred", "unknown"].includes(cell(row, "state"))],
  ["failed", "Failed or held", (row) => ["refused", "stopped", "held"].includes(cell(row, "state"))],
  ["skipped", "Skipped", skipped],
], (chosen) => { test = chosen; show(); });

function show() {
  table.show((row) => test(row) && (!searched || `${row[0]} ${why(row)}`.toLowerCase().includes(searched)));
}
by("search").addEventListener("input", (event) => { searched = event.target.value.trim().toLowerCase(); show(); });

function summary() {
  const rows = [...table.rows.values()];
  const states = new Map();
  for (const row of rows) states.set(cell(row, "state"), (states.get(cell(row, "state")) || 0) + 1);
  const sorted = [...states.entries()].sort((a, b) => b[1] - a[1]);
  by("outcome").replaceChildren(...sorted.map(([state, number]) => {
    const bar = el("i", { class: `fill-${tone(state)}` });
    bar.style.flexGrow = number;
    return bar;
  }));
  by("legend").replaceChildren(...sorted.map(([state, number]) => el("span", {}, el("i", { class: `fill-${tone(state)}` }), el("b", {}, count(number)), words(state))));
  by("hops").replaceChildren(...HOPS.map(([name, title, to, from]) => {
    const times = rows.map((row) => hop(row, to, from)).filter((each) => each !== null).sort((a, b) => a - b);
    const pick = (share) => times[Math.min(times.length - 1, Math.floor(times.length * share))];
    const rest = times.length ? `95 % within ${ms(pick(0.95))}, all within ${ms(times.at(-1))}` : "nothing yet";
    return el("div", { class: "hop" }, el("h2", {}, el("i", { class: `hop-${name}` }), title), el("p", { class: "figure" }, times.length ? ms(pick(0.5)) : "–"), el("p", { class: "sub" }, rest));
  }));
  counted(rows);
}

function take(body) {
  body.columns.forEach((name, place) => { at[name] = place; });
  reasons = { ...reasons, ...body.reasons };
  for (const row of body.rows) if (!skipped(row)) scale = Math.max(scale, ...[cell(row, "ended_ms"), cell(row, "acked_ms")].filter((each) => each !== null));
  if (body.all) {
    const { signal } = body;
    by("what").replaceChildren("Master ", el("span", { class: signal.side }, `${signal.side}s`), ` ${quantity(signal.quantity)} ${signal.symbol} at ${money(signal.price)}`);
    by("when").replaceChildren(clock(signal.at, true), ` · worth ${money(String(signal.quantity * signal.price))} · signal ${signal.signal_id}`);
    table.replace(body.rows);
  } else {
    table.update(body.rows);
  }
  summary();
}

frame([`signal:${key}`], { [`signal:${key}`]: take });
setTimeout(() => { if (!table.rows.size && by("when").textContent.trim() === "") table.nothing.textContent = "There is no such signal, or nobody has answered it yet."; }, 1500);

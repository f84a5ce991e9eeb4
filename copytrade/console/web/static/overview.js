import { accountLink, badge, by, chips, clock, count, dot, el, money, side, words } from "./ui.js";
import { frame, showHead } from "./frame.js";
import { Table } from "./table.js";

const at = {};
const LANES = { ready: 5, off: 6, connecting: 4, busy: 3, held: 2, down: 1, parked: 0 };
let head = { master: "" };
let test = () => true;
let searched = "";
const cell = (row, name) => row[at[name]];
const needsLook = (row) => ["parked", "down", "held"].includes(cell(row, "lane")) || cell(row, "drift") !== "";

function lane(row) {
  const [state, mode] = [cell(row, "lane"), cell(row, "mode")];
  const text = ["busy", "down", "parked", "held"].includes(state) ? cell(row, "lane_text") || state : state;
  return el("span", { class: "lane", title: cell(row, "lane_text") }, dot(state), el("span", {}, text, mode === "active" ? null : el("small", { class: "phone-only" }, ` ${words(mode)}`)));
}

function last(row) {
  const copy = cell(row, "last");
  if (!copy) return el("span", { class: "mute" }, "none yet");
  const [when, way, symbol, state, signal] = copy;
  const what = el("span", {}, side(way), ` ${symbol} `, badge(state));
  return el("a", { class: "pair", href: signal ? `/signals/${signal}` : "/orders" }, what, el("small", {}, clock(when)));
}

const table = new Table(by("table"), {
  key: (row) => row[0], empty: "No followers yet: enrol them in config/users.",
  wide: "minmax(160px, 1.5fr) 130px 110px minmax(120px, 1.3fr) 80px minmax(80px, .8fr) minmax(190px, 1.2fr)",
  phone: "minmax(0, 1.25fr) 96px minmax(0, .9fr)",
  rowClass: (row) => (row[0] === head.master ? "master" : ""),
  columns: [
    { name: "account", title: "Account", sort: (row) => row[0], cell: (row) => el("span", { class: "pair" }, el("b", {}, accountLink(row[0], row[0] === head.master ? "Master" : cell(row, "name") || row[0])), el("small", {}, row[0])) },
    { name: "equity", title: "Equity", cls: "num", sort: (row) => Number(cell(row, "equity") || -1), cell: (row) => el("span", { class: "pair" }, el("b", {}, money(cell(row, "equity"))), el("small", {}, cell(row, "currency"))) },
    { name: "mode", title: "Mode", cls: "wide-only", sort: (row) => cell(row, "mode"), cell: (row) => badge(cell(row, "mode")) },
    { name: "lane", title: "Lane", sort: (row) => LANES[cell(row, "lane")], cell: lane },
    { name: "positions", title: "Positions", cls: "num wide-only", sort: (row) => cell(row, "positions"), cell: (row) => String(cell(row, "positions") || "–") },
    { name: "drift", title: "Drift", cls: "wide-only", sort: (row) => cell(row, "drift"), cell: (row) => (cell(row, "drift") ? el("span", { class: "badge is-warn" }, cell(row, "drift")) : el("span", { class: "mute" }, "none")) },
    { name: "last", title: "Last order", cls: "wide-only", sort: (row) => (cell(row, "last") || [""])[0], cell: last },
  ],
});

const counted = chips(by("chips"), [
  ["all", "All", () => true],
  ["look", "Need a look", needsLook],
  ["busy", "Busy", (row) => cell(row, "lane") === "busy"],
  ["stopped", "Not active", (row) => cell(row, "mode") !== "active"],
], (chosen) => { test = chosen; show(); });

function show() {
  table.show((row) => test(row) && (!searched || `${row[0]} ${cell(row, "name")}`.toLowerCase().includes(searched)));
}
by("search").addEventListener("input", (event) => { searched = event.target.value.trim().toLowerCase(); show(); });

function tiles() {
  const rows = [...table.rows.values()];
  const followers = rows.filter((row) => row[0] !== head.master);
  const master = table.rows.get(head.master);
  const look = followers.filter(needsLook).length + (master && needsLook(master) ? 1 : 0);
  counted(rows);
  if (master) {
    by("t-master").replaceChildren(money(cell(master, "equity")), " ", el("small", {}, cell(master, "currency")));
    by("t-master-sub").textContent = `${head.master} · strategy ${head.strategy}`;
  }
  const busy = followers.filter((row) => cell(row, "lane") === "busy").length;
  by("t-followers").replaceChildren(count(head.connected), " ", el("small", {}, `of ${count(head.followers)}`));
  by("t-followers-sub").textContent = busy ? `connected, ${count(busy)} working` : "connected";
  const sums = new Map();
  for (const row of followers) if (cell(row, "equity")) sums.set(cell(row, "currency"), (sums.get(cell(row, "currency")) || 0) + Number(cell(row, "equity")));
  const [currency, sum] = [...sums.entries()].sort((a, b) => b[1] - a[1])[0] || ["", 0];
  by("t-equity").replaceChildren(sum >= 1e6 ? `${(sum / 1e6).toFixed(2)} M` : count(Math.round(sum)), " ", el("small", {}, currency));
  by("t-equity-sub").textContent = sums.size > 1 ? `and ${sums.size - 1} other currencies` : `${count(head.positions)} positions`;
  by("t-open").textContent = count(head.open_orders);
  by("t-open-sub").textContent = `${count(head.signals)} signals so far`;
  by("t-look").textContent = count(look);
  by("t-look").classList.toggle("bad", look > 0);
  const drifting = followers.filter((row) => cell(row, "drift") !== "").length;
  by("t-look-sub").textContent = `${count(head.parked)} parked, ${count(head.held)} held, ${count(drifting)} drifting`;
}

frame(["overview"], {
  head: (body) => { head = body; showHead(body); tiles(); },
  overview: (body) => {
    if (body.all) {
      body.columns.forEach((name, place) => { at[name] = place; });
      table.replace(body.rows);
    } else if (at.account !== undefined) {
      table.update(body.rows.filter((row) => row[1] !== null), body.rows.filter((row) => row[1] === null).map((row) => row[0]));
    }
    tiles();
  },
});

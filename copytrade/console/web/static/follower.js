import { act, badge, by, clock, count, dot, el, get, ifAsked, money, quantity, side, toast, words } from "./ui.js";
import { frame } from "./frame.js";
import { Table } from "./table.js";
import { curve } from "./curve.js";

const key = document.body.dataset.key;
const path = `/api/followers/${encodeURIComponent(key)}`;
const MODES = {
  active: "Entries and exits flow.", close_only: "Exits flow, entries do not.",
  paused: "Exits flow, entries do not, for the time being.", disarmed: "Nothing flows, exits neither: they are held for your word.",
  independent: "Nothing is copied to it: it runs the strategy of independent.strategy by itself, once it is out of what was copied. Set another mode and it sells what it has bought by itself, and is copied to again after that.",
};
const CAUSES = {
  rounding: "rounded to the venue's step", cap: "capped", skip: "skipped", unfilled: "not filled", fee: "fee taken in the asset",
  delay: "on its way, waiting or held", refused: "refused", master_partial: "the master got less than it asked for",
  carry: "carried to the next signal", earlier: "from before", by_hand: "by hand", late_join: "waits for a better price",
  unexplained: "unexplained",
};
const signed = (text) => (text.startsWith("-") ? `-${quantity(text.slice(1))}` : `+${quantity(text)}`);
const percent = (share) => `${(100 * share).toFixed(2)} %`;
const LIMITS = {
  max_user_risk: "Risk of one entry", multiplier: "Multiplier", max_order: "Largest entry", max_exposure: "Exposure",
  max_positions: "Instruments held", max_daily_loss: "Daily loss", max_drawdown: "Drawdown", min_equity: "Least equity",
};

const table = new Table(by("table"), {
  key: (row) => row.order_id, empty: "No orders yet.",
  wide: "150px 60px minmax(90px, .7fr) 100px 120px 120px 110px minmax(200px, 2fr)", phone: "74px minmax(0, 1fr) 90px",
  columns: [
    { name: "at", title: "At", cell: (row) => (row.signal_id ? el("a", { href: `/signals/${row.signal_id}` }, clock(row.planned_at)) : clock(row.planned_at)) },
    { name: "side", title: "Side", cls: "wide-only", cell: (row) => side(row.side) },
    { name: "symbol", title: "Instrument", cell: (row) => el("span", {}, el("span", { class: `phone-only ${row.side}` }, `${row.side} `), row.symbol) },
    { name: "state", title: "State", cell: (row) => badge(row.state) },
    { name: "quantity", title: "Quantity", cls: "num wide-only", cell: (row) => quantity(row.quantity) },
    { name: "filled", title: "Filled", cls: "num wide-only", cell: (row) => quantity(row.filled) },
    { name: "cost", title: "Cost", cls: "num wide-only", cell: (row) => (Number(row.cost) ? money(row.cost) : "–") },
    { name: "why", title: "Why", cls: "wide-only", cell: (row) => el("span", { class: "mute", title: `${row.reason} ${row.detail}` }, row.detail ? `${row.reason} (${row.detail})` : row.reason) },
  ],
});

function setMode(mode) {
  ifAsked({ title: `Set ${key} to ${words(mode)}?`, text: MODES[mode], yes: `Set to ${words(mode)}`, danger: mode === "disarmed" },
    () => act(`${path}/mode`, { mode, confirm: key }), `${key} is ${words(mode)} within two seconds.`);
}

function acts(body) {
  if (body.master) return;
  const modes = Object.keys(MODES).map((mode) => el("button", { type: "button", "aria-pressed": body.mode === mode, onclick: () => setMode(mode) }, words(mode)));
  by("acts").replaceChildren(
    el("div", { class: "seg", role: "group", "aria-label": "Mode" }, ...modes),
    el("button", { type: "button", class: "plain", onclick: () => ifAsked({ title: `Reconcile ${key}?`, text: "Compares the copied positions with what the venue says.", yes: "Reconcile" }, () => act("/api/reconcile", { account: key, confirm: key }), "Compared.") }, "Reconcile"),
    el("button", { type: "button", class: "danger quiet", onclick: () => ifAsked({ title: `Flatten ${key}?`, text: "Closes its copied positions at the market.", yes: "Flatten", danger: true, type: key }, () => act(`${path}/flatten`, { confirm: key }), "Its positions are being closed.") }, "Flatten"),
  );
}

function limits(body) {
  by("limits").replaceChildren(...body.limits.map((limit) => {
    const shown = limit.words ? limit.words : limit.name === "max_user_risk" ? `${(100 * limit.limit).toFixed(1)} %` : limit.name === "multiplier" ? `× ${quantity(limit.limit)}` : money(limit.limit);
    const used = limit.used ? `${money(limit.used)} of ${shown}` : shown;
    let track = null;
    if (limit.share !== undefined) {
      track = el("div", { class: "track" }, el("i", {}));
      track.firstChild.style.width = `${100 * limit.share}%`;
    }
    const why = limit.tripped ? el("small", {}, ` no entries: ${limit.tripped}`) : null;
    return el("div", { class: limit.tripped ? "limit tripped" : "limit" }, el("span", {}, LIMITS[limit.name], why, limit.means ? el("small", {}, ` ${money(limit.means.split(" ")[0])} ${limit.means.split(" ").slice(1).join(" ")}`) : null), el("b", {}, used), track);
  }));
}

function owed(body) {
  const loop = body.loop;
  by("loop").hidden = !loop;
  if (loop) {
    by("loop").className = loop.errors_in_a_row ? "note warn" : "note";
    by("loop").textContent = [
      loop.alone ? "Trades by itself: it is not copied to." : "Begins to trade by itself once it is out of what was copied.",
      loop.cycles ? `${count(loop.cycles)} cycles so far; ${loop.health_percent} % of the last ones went well.` : "",
      loop.last_error ? `Last error: ${loop.last_error}` : "",
    ].filter(Boolean).join(" ");
  }
  const drift = body.drift_rows.map((row) => el("div", { class: "owed" },
    el("p", {}, el("b", {}, row.symbol), ` holds ${quantity(row.actual) === "–" ? "0" : quantity(row.actual)}, ideal ${quantity(row.ideal) === "–" ? "0" : quantity(row.ideal)}${row.share === null ? "" : ` (${percent(row.share)} of equity)`}${row.dust ? ", too little to be sold" : ""}`),
    el("ul", {}, ...row.causes.map((each) => el("li", {}, `${each.why || CAUSES[each.cause] || words(each.cause)} `, el("b", {}, signed(each.quantity)))),
      Number(row.missing) ? el("li", {}, "gone by hand or by another program ", el("b", {}, `-${quantity(row.missing)}`)) : null)));
  by("drift").replaceChildren(...(drift.length ? drift : [el("p", { class: "sub" }, body.master ? "The master is what the others are measured by." : body.loop ? "Not measured by the master: it trades by itself." : "Where it should be, as of the last look.")]));
  const carried = body.carried.flatMap((each) => [el("span", { title: each.since }, `${each.symbol} since `, clock(each.since)), el("b", {}, quantity(each.quantity))]);
  by("carried").replaceChildren(...(carried.length ? [el("h2", {}, "Carried"), el("p", { class: "sub" }, "Below the venue's minimum; kept for the next signal."), el("div", { class: "list" }, ...carried)] : []));
}

function show(body) {
  by("name").textContent = body.name || body.account;
  by("account").replaceChildren(`${body.account} · `, badge(body.mode), " ", body.master ? badge("master") : "");
  by("equity").replaceChildren(money(body.equity), " ", el("small", {}, body.currency));
  by("cash").replaceChildren(body.cash ? `${money(body.cash)} free cash · read ` : "not read yet", body.balances_at ? clock(body.balances_at) : "");
  by("lane").hidden = !["parked", "down", "held"].includes(body.lane);
  by("lane").className = body.lane === "held" ? "note warn" : "note bad";
  by("lane").replaceChildren(dot(body.lane), ` ${body.lane}: ${body.lane_text}`);
  const positions = body.positions.flatMap((each) => [el("span", {}, each.symbol), el("b", {}, quantity(each.quantity))]);
  by("positions").replaceChildren(positions.length ? el("div", { class: "list" }, ...positions) : el("p", { class: "sub" }, "flat"));
  owed(body);
  limits(body);
  acts(body);
  const points = body.curve.map(([when, equity]) => [Date.parse(when), Number(equity)]);
  if (body.equity && body.balances_at) points.push([Date.parse(body.balances_at), Number(body.equity)]);
  curve(by("curve"), points, body.currency);
  table.replace(body.orders);
}

async function load() {
  try {
    show(await get(path));
  } catch (error) {
    table.nothing.textContent = error.message;
  }
}

let soon = 0;
frame([`account:${key}`], { [`account:${key}`]: () => { clearTimeout(soon); soon = setTimeout(load, 500); } });
load();
setInterval(() => { if (!document.hidden) load(); }, 5000);
export { toast };

import { accountPair, badge, by, clock, el, get, money, quantity, side, toast } from "./ui.js";
import { frame } from "./frame.js";
import { Table } from "./table.js";

const table = new Table(by("table"), {
  key: (row) => row.order_id, empty: "No orders yet.",
  wide: "84px minmax(120px, 1fr) 40px minmax(84px, .5fr) 84px 96px 96px 84px minmax(150px, .9fr) minmax(120px, 1.3fr)", phone: "68px minmax(0, 1fr) 90px",
  columns: [
    { name: "at", title: "At", cell: (row) => (row.signal_id ? el("a", { href: `/signals/${row.signal_id}` }, clock(row.planned_at)) : clock(row.planned_at)) },
    { name: "account", title: "Account", cell: (row) => accountPair(row.account, row.role === "master" ? "its own order" : row.effect, `${row.side} ${row.symbol}`) },
    { name: "side", title: "Side", cls: "wide-only", cell: (row) => side(row.side) },
    { name: "symbol", title: "Instrument", cls: "wide-only", cell: (row) => row.symbol },
    { name: "state", title: "State", cell: (row) => badge(row.state) },
    { name: "quantity", title: "Quantity", cls: "num wide-only", cell: (row) => quantity(row.quantity) },
    { name: "filled", title: "Filled", cls: "num wide-only", cell: (row) => quantity(row.filled) },
    { name: "cost", title: "Cost", cls: "num wide-only", cell: (row) => (Number(row.cost) ? money(row.cost) : "–") },
    { name: "venue", title: "Order at the venue", cls: "wide-only", cell: (row) => el("span", { class: "mono" }, row.venue_order_id || "–") },
    { name: "why", title: "Why", cls: "wide-only", cell: (row) => el("span", { class: "mute", title: `${row.reason} ${row.detail}` }, row.detail ? `${row.reason} (${row.detail})` : row.reason) },
  ],
});

async function load() {
  const query = new URLSearchParams({ limit: 400 });
  if (by("state").value) query.set("state", by("state").value);
  if (by("role").value) query.set("role", by("role").value);
  if (by("search").value.trim()) query.set("account", by("search").value.trim());
  try {
    table.replace((await get(`/api/orders?${query}`)).orders);
  } catch (error) {
    toast(error.message, true);
  }
}

let soon = 0;
const later = (wait) => { clearTimeout(soon); soon = setTimeout(load, wait); };
for (const id of ["state", "role"]) by(id).addEventListener("change", load);
by("search").addEventListener("input", () => later(300));
load();
frame(["orders"], { orders: () => later(1000) });

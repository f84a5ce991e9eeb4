import { by, clock, count, el, get, money, quantity, side, toast, tone, words } from "./ui.js";
import { frame } from "./frame.js";
import { Table } from "./table.js";

const copies = (row) => Object.entries(row.copies).map(([state, number]) =>
  el("span", { class: `badge is-${tone(state)}` }, `${count(number)} ${words(state)}`));

const table = new Table(by("table"), {
  key: (row) => row.signal_id, empty: "The master has not traded yet.",
  wide: "150px 70px minmax(100px, .8fr) 140px 130px 120px minmax(220px, 2fr)", phone: "82px minmax(0, 1fr) minmax(0, 1.2fr)",
  columns: [
    { name: "at", title: "At", cell: (row) => el("a", { href: `/signals/${row.signal_id}` }, clock(row.at)) },
    { name: "side", title: "Side", cls: "wide-only", cell: (row) => side(row.side) },
    { name: "symbol", title: "Instrument", cell: (row) => el("a", { class: "pair", href: `/signals/${row.signal_id}` }, el("b", {}, row.symbol), el("small", { class: "phone-only" }, side(row.side), ` ${quantity(row.quantity)}`)) },
    { name: "quantity", title: "Quantity", cls: "num wide-only", cell: (row) => quantity(row.quantity) },
    { name: "price", title: "Price", cls: "num wide-only", cell: (row) => money(row.price) },
    { name: "worth", title: "Worth", cls: "num wide-only", cell: (row) => money(String(row.quantity * row.price)) },
    { name: "copies", title: "Copies", cell: (row) => el("span", { class: "chips" }, ...copies(row)) },
  ],
});

let asked = false;
async function load() {
  if (asked) return;
  asked = true;
  try {
    table.replace((await get("/api/signals?limit=200")).signals);
  } catch (error) {
    toast(error.message, true);
  }
  setTimeout(() => { asked = false; }, 900);
}

load();
let stale = 0;
const soon = () => { clearTimeout(stale); stale = setTimeout(load, 1000); };
frame(["signals", "orders"], { signals: soon, orders: soon });

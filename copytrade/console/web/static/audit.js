import { by, clock, el, get, toast } from "./ui.js";
import { frame } from "./frame.js";
import { Table } from "./table.js";

function more(row) {
  const { at, who, where, what, outcome, hash, ...rest } = row;
  return Object.entries(rest).map(([name, value]) => (typeof value === "object" && value !== null ? Object.entries(value).map(([k, v]) => `${k} ${v}`).join(", ") : `${name} ${value}`)).join(" · ");
}

const table = new Table(by("table"), {
  key: (row) => row.hash || `${row.at} ${row.what} ${row.asked.seen}`, empty: "Nothing has been done yet.",
  wide: "170px 130px 130px 150px 90px minmax(200px, 2fr) 100px", phone: "76px minmax(0, 1fr) minmax(0, 1.4fr)",
  columns: [
    { name: "at", title: "At", cell: (row) => clock(row.at) },
    { name: "who", title: "Who", cell: (row) => row.who || el("span", { class: "mute" }, "not known") },
    { name: "where", title: "From", cls: "wide-only", cell: (row) => el("span", { class: "mono" }, row.where) },
    { name: "what", title: "What", cell: (row) => el("b", {}, row.what) },
    { name: "outcome", title: "Outcome", cls: "wide-only", cell: (row) => (row.outcome ? el("span", { class: `badge ${row.outcome === "failed" ? "is-bad" : row.outcome === "done" ? "is-ok" : ""}` }, row.outcome) : "") },
    { name: "more", title: "Details", cls: "wide-only", cell: (row) => el("span", { class: "mute", title: more(row) }, more(row)) },
    { name: "hash", title: "Mark", cls: "wide-only", cell: (row) => el("span", { class: "mono mute", title: row.hash || "seen by the worker: it is in the ledger's chain" }, row.hash ? row.hash.slice(0, 10) : "ledger") },
  ],
});

get("/api/audit").then((body) => table.replace(body.records)).catch((error) => toast(error.message, true));
frame([], {});

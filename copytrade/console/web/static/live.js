// The stream: one connection a page, what comes first is the present state, then what changes.
import { by } from "./ui.js";

export function watch(topics, handlers) {
  const query = topics.map((topic) => `topic=${encodeURIComponent(topic)}`).join("&");
  let stream = null;
  let wait = 1000;

  function open() {
    stream = new EventSource(`/api/stream?${query}`);
    stream.addEventListener("update", (event) => {
      wait = 1000;
      say("on", "connected");
      const [topic, body] = JSON.parse(event.data);
      handlers[topic]?.(body);
    });
    stream.onerror = () => {
      say("off", "not connected");
      stream.close();
      fetch("/api/log?after=999999999").then((answer) => {
        if (answer.status === 401) location.assign("/sign-in");
      }).catch(() => {});
      setTimeout(open, wait);
      wait = Math.min(wait * 2, 15000);
    };
  }

  function say(state, text) {
    by("live").dataset.state = state;
    by("live").lastElementChild.textContent = text;
  }

  addEventListener("pagehide", () => stream?.close());
  addEventListener("pageshow", (event) => { if (event.persisted) open(); });
  open();
}

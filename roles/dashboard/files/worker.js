import { Feed } from "./feed.js";

let feed = null;

self.addEventListener("message", (event) => {
  if (event.data.type === "start") {
    feed ??= new Feed(event.data.base, (message) => self.postMessage(message));
    feed.run();
  } else {
    feed?.hear(event.data);
  }
});
self.postMessage({ type: "ready" });

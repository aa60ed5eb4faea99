// What stands above the nodes: the summary, active alarms, services and load balancers.

import { arrange, make, setAttribute, setSign, setText, sign } from "./dom.js";
import { clock, duration, milliseconds, plural, rate } from "./format.js";
import { later } from "./frames.js";
import { Spark } from "./spark.js";
import { SIGNS, stateWords } from "./tiles.js";

const LISTED = 6; // nodes of one alarm that are named
const MANY = 12; // more upstreams than these are counted rather than listed
const REQUESTS = [{ top: null, floor: 1, tracks: ["requests"] }];

const byId = (id) => document.getElementById(id);
const nodeLink = (name) => make("a", { href: `#node=${encodeURIComponent(name)}`, text: name });

/** Return {kind, words, entry} of `service` on a node: what can be said of it now. */
export function instanceOf(node, service) {
  if (!node || node.state === "wait") {
    return { kind: "wait", words: "waiting", entry: null };
  }
  if (node.state !== "live") {
    return { kind: SIGNS[node.state], words: `node ${stateWords(node)}`, entry: null };
  }
  const entry = node.sample?.services[service];
  if (!entry || entry.healthy === null) {
    return { kind: "wait", words: "no data", entry: entry ?? null };
  }
  if (entry.healthy) {
    return { kind: "good", words: "healthy", entry };
  }
  return { kind: "bad", words: entry.active === false ? "stopped" : "unhealthy", entry };
}

class Card {
  constructor(id, label) {
    this.sign = sign("wait");
    this.value = make("span.big", { text: "–" });
    this.note = make("span.note");
    this.element = make("a.stat", { href: `#${id}`, id: `stat-${id}-${label.toLowerCase().replace(" ", "-")}` },
      make("span.label", {}, this.sign, make("span", { text: label })), this.value, this.note);
  }

  show(kind, value, note) {
    setSign(this.sign, kind);
    setAttribute(this.element, "data-kind", kind);
    setText(this.value, value);
    setText(this.note, note);
  }
}

export class Summary {
  constructor() {
    this.cards = {
      nodes: new Card("nodes", "Nodes"),
      services: new Card("services", "Services"),
      requests: new Card("lbs", "Requests"),
      ip: new Card("lbs", "Floating IP"),
      alarms: new Card("alarms", "Alarms"),
    };
    byId("summary").append(...Object.values(this.cards).map((card) => card.element));
  }

  update({ config, nodes, alarms, alarmsKnown }) {
    const all = [...nodes.values()];
    this.showNodes(all);
    this.showServices(config, nodes);
    this.showLbs(config, all.filter((node) => node.roles.includes("lb")));
    const critical = alarms.filter((alarm) => alarm.status === "critical").length;
    this.cards.alarms.show(
      !alarmsKnown ? "wait" : critical > 0 ? "bad" : alarms.length > 0 ? "warn" : "good",
      alarmsKnown ? String(alarms.length) : "–",
      !alarmsKnown ? "asking" : alarms.length === 0 ? "none active" : critical > 0 ? `${critical} critical` : plural(alarms.length, "warning"),
    );
  }

  showNodes(all) {
    const count = (state) => all.filter((node) => node.state === state).length;
    const [live, stale, gone] = [count("live"), count("stale"), count("gone")];
    const kind = gone > 0 ? "bad" : stale > 0 ? "warn" : live === all.length && live > 0 ? "good" : "wait";
    const notes = [stale > 0 ? `${stale} stale` : "", gone > 0 ? `${gone} gone` : ""].filter(Boolean).join(" · ");
    this.cards.nodes.show(kind, `${live}/${all.length}`, notes || (kind === "good" ? "all live" : "waiting"));
  }

  showServices(config, nodes) {
    const services = Object.entries(config.services ?? {});
    this.cards.services.element.hidden = services.length === 0;
    const instances = services.map(([name, { nodes: workers }]) => workers.map((worker) => instanceOf(nodes.get(worker), name)));
    const up = instances.filter((list) => list.some(({ kind }) => kind === "good")).length;
    const healthy = instances.flat().filter(({ kind }) => kind === "good").length;
    const total = instances.flat().length;
    const waiting = instances.flat().some(({ kind }) => kind === "wait");
    const kind = healthy === total ? "good" : waiting && healthy === 0 ? "wait" : up < services.length ? "bad" : "warn";
    this.cards.services.show(kind, `${up}/${services.length}`, `${healthy} of ${plural(total, "instance")} healthy`);
  }

  showLbs(config, lbs) {
    const { requests, ip } = this.cards;
    requests.element.hidden = lbs.length === 0;
    const known = lbs.filter((node) => node.state === "live" && node.requests);
    const sum = (key) => known.reduce((total, node) => total + (node.requests[key] ?? 0), 0);
    const all = known.reduce((total, node) => total + (node.figures.requests ?? 0), 0);
    const errors = sum("5xx");
    requests.show(
      known.length === 0 ? "wait" : errors > 0.05 ? "warn" : "good",
      known.length === 0 ? "–" : `${rate(all)}/s`,
      known.length === 0 ? "no data" : `${rate(errors)}/s fail (5xx)`,
    );
    ip.element.hidden = !config.virtual_ip;
    if (config.virtual_ip) {
      const holders = lbs.filter((node) => node.state === "live" && node.sample?.lb?.holds).map((node) => node.name);
      const unknown = lbs.every((node) => node.state === "wait" || (node.state === "live" && node.sample?.lb?.holds == null));
      const kind = holders.length === 1 ? "good" : unknown ? "wait" : "bad";
      const words = unknown && holders.length === 0 ? "no data" : holders.length === 0 ? "held by nobody" : `held by ${holders.join(" and ")}`;
      ip.show(kind, config.virtual_ip.split("/")[0], words);
    }
  }
}

/** The same alarm of several nodes is one line. */
function grouped(alarms) {
  const groups = new Map();
  for (const alarm of alarms) {
    const key = `${alarm.status}|${alarm.name}|${alarm.info}`;
    const group = groups.get(key);
    if (group) {
      group.alarms.push(alarm);
    } else {
      groups.set(key, { key, status: alarm.status, name: alarm.name, info: alarm.info, alarms: [alarm] });
    }
  }
  const order = { critical: 0, warning: 1 };
  const since = (group) => Math.max(...group.alarms.map((alarm) => alarm.since));
  return [...groups.values()].sort((one, other) => order[one.status] - order[other.status] || since(other) - since(one));
}

export class Alarms {
  constructor() {
    this.rows = new Map();
  }

  update(alarms, now) {
    byId("alarms").hidden = alarms.length === 0;
    setText(byId("alarms-count"), String(alarms.length));
    const groups = grouped(alarms);
    const known = new Set(groups.map((group) => group.key));
    for (const key of [...this.rows.keys()]) {
      if (!known.has(key)) {
        this.rows.delete(key);
      }
    }
    arrange(byId("alarms-list"), groups.map((group) => this.row(group, now)));
  }

  row(group, now) {
    let row = this.rows.get(group.key);
    if (row === undefined) {
      const mark = sign(group.status === "critical" ? "bad" : "warn");
      row = { where: make("span.where"), value: make("span.value"), since: make("span.since"), nodes: "" };
      row.element = make("li", { "data-status": group.status }, mark, make("span.status", { text: group.status }),
        make("span.what", {}, make("strong", { text: group.name.replaceAll("_", " ") }), make("span.info", { text: group.info })),
        row.where, row.value, row.since);
      this.rows.set(group.key, row);
    }
    const names = [...new Set(group.alarms.map((alarm) => alarm.node))];
    const shown = names.slice(0, LISTED);
    if (row.nodes !== names.join("\n")) {
      row.nodes = names.join("\n");
      row.where.replaceChildren(...shown.flatMap((name, index) => (index === 0 ? [nodeLink(name)] : [", ", nodeLink(name)])));
      if (names.length > shown.length) {
        row.where.append(` and ${names.length - shown.length} more`);
      }
    }
    setText(row.value, group.alarms.length === 1 ? group.alarms[0].value : "");
    const first = Math.min(...group.alarms.map((alarm) => alarm.since));
    setText(row.since, first > 0 ? `for ${duration(now / 1000 - first)}` : "");
    setAttribute(row.since, "title", first > 0 ? `since ${clock(first * 1000)}` : null);
    return row.element;
  }
}

class ServiceCard {
  constructor(name) {
    this.name = name;
    this.rows = new Map();
    this.sign = sign("wait");
    this.state = make("span.state");
    this.about = make("p.about");
    this.body = make("tbody");
    const head = ["Worker", "State", "Release", "Response"].map((text, index) => make(index === 3 ? "th.number" : "th", { scope: "col", text }));
    this.table = make("table", {}, make("caption.visually-hidden", { text: `Instances of ${name}` }), make("thead", {}, make("tr", {}, ...head)), this.body);
    this.scroll = make("div.scroll", {}, this.table);
    this.element = make("article.card", { "data-service": name },
      make("div.head", {}, this.sign, make("h3", { text: name }), this.state), this.about, this.scroll);
  }

  update({ domain, nodes: workers }, nodes) {
    const instances = workers.map((worker) => ({ worker, ...instanceOf(nodes.get(worker), this.name) }));
    const healthy = instances.filter(({ kind }) => kind === "good").length;
    const kind = healthy === instances.length ? "good" : instances.every((one) => one.kind === "wait") ? "wait" : healthy === 0 ? "bad" : "warn";
    setSign(this.sign, kind);
    setAttribute(this.element, "data-kind", kind);
    setText(this.state, `${healthy} of ${instances.length} healthy`);
    const releases = new Set(instances.map(({ entry }) => entry?.release).filter(Boolean));
    const parts = [domain || "every other host name", releases.size === 1 ? `release ${[...releases][0]}` : releases.size > 1 ? `${releases.size} releases at once` : ""];
    setText(this.about, parts.filter(Boolean).join(" · "));
    const worst = { bad: 0, warn: 1, wait: 2, good: 3 };
    const many = instances.length > MANY;
    if (many) {
      instances.sort((one, other) => worst[one.kind] - worst[other.kind]);
    }
    setAttribute(this.scroll, "tabindex", many ? "0" : null);
    setAttribute(this.scroll, "role", many ? "region" : null);
    setAttribute(this.scroll, "aria-label", many ? `Instances of ${this.name}` : null);
    arrange(this.body, instances.map((instance) => this.row(instance)));
    for (const name of [...this.rows.keys()]) {
      if (!workers.includes(name)) {
        this.rows.delete(name);
      }
    }
  }

  row({ worker, kind, words, entry }) {
    let row = this.rows.get(worker);
    if (row === undefined) {
      row = { sign: sign("wait"), words: make("span"), release: make("td.release"), response: make("td.number") };
      row.element = make("tr", { "data-worker": worker }, make("th", { scope: "row" }, nodeLink(worker)), make("td", {}, make("span.with-sign", {}, row.sign, row.words)), row.release, row.response);
      this.rows.set(worker, row);
    }
    setSign(row.sign, kind);
    setAttribute(row.element, "data-kind", kind);
    setText(row.words, words);
    setText(row.release, entry?.release || "–");
    setText(row.response, kind === "good" ? milliseconds(entry?.response) : "–");
    return row.element;
  }
}

class LbCard {
  constructor(node) {
    this.node = node;
    this.upstreams = new Map();
    this.sign = sign("wait");
    this.state = make("span.state");
    this.badge = make("span.badge", { text: "holds the floating IP" });
    this.badge.hidden = true;
    this.spark = new Spark(REQUESTS);
    this.rate = make("span.value", { text: "–" });
    this.kinds = make("p.about");
    this.list = make("ul.upstreams");
    this.element = make("article.card", { "data-lb": node.name },
      make("div.head", {}, this.sign, make("h3", {}, nodeLink(node.name)), this.badge, this.state),
      make("div.requests", {}, make("span.label", { text: "Requests" }), make("span.spark", { "aria-hidden": "true" }, this.spark.element), this.rate),
      this.kinds, this.list);
  }

  update(end) {
    const { node } = this;
    const lb = node.state === "live" ? node.sample?.lb : null;
    const kind = node.state !== "live" ? SIGNS[node.state] : !lb || lb.caddy === null ? "wait" : lb.caddy ? "good" : "bad";
    setSign(this.sign, kind);
    setAttribute(this.element, "data-kind", kind);
    setText(this.state, node.state !== "live" ? stateWords(node) : !lb ? "no data" : lb.caddy === false ? "Caddy is down" : "serving");
    this.badge.hidden = !lb?.holds;
    const known = lb && node.requests;
    setText(this.rate, known ? `${rate(node.figures.requests)}/s` : "–");
    setText(this.kinds, known ? ["2xx", "3xx", "4xx", "5xx"].map((key) => `${key} ${rate(node.requests[key] ?? 0)}`).join(" · ") : "");
    setAttribute(this.kinds, "data-level", known && node.requests["5xx"] > 0.05 ? "bad" : null);
    arrange(this.list, Object.entries(lb?.upstreams ?? {}).map(([service, workers]) => this.upstream(service, workers)));
    this.spark.show(end, node.requestsTrack);
  }

  upstream(service, workers) {
    let row = this.upstreams.get(service);
    if (row === undefined) {
      row = { chips: new Map(), count: make("span.count"), list: make("span.chips") };
      row.element = make("li", { "data-upstreams": service }, make("span.label", { text: service }), row.count, row.list);
      this.upstreams.set(service, row);
    }
    const names = Object.keys(workers);
    const healthy = names.filter((name) => workers[name]).length;
    setText(row.count, `${healthy}/${names.length}`);
    const shown = names.length > MANY ? names.filter((name) => !workers[name]).slice(0, MANY) : names;
    arrange(row.list, shown.map((name) => {
      let chip = row.chips.get(name);
      if (chip === undefined) {
        const mark = sign("wait");
        const words = make("span.visually-hidden");
        chip = { mark, words, element: make("span.chip", {}, mark, make("span", { text: name }), words) };
        row.chips.set(name, chip);
      }
      setSign(chip.mark, workers[name] ? "good" : "bad");
      setAttribute(chip.element, "data-kind", workers[name] ? "good" : "bad");
      setText(chip.words, workers[name] ? " up" : " down");
      return chip.element;
    }));
    return row.element;
  }
}

/** Cards by name in a section that is hidden while there are none. */
class Cards {
  constructor(id, create) {
    this.id = id;
    this.create = create;
    this.cards = new Map();
  }

  update(entries, show) {
    byId(this.id).hidden = entries.length === 0;
    setText(byId(`${this.id}-count`), String(entries.length));
    const names = new Set(entries.map(([name]) => name));
    for (const name of [...this.cards.keys()]) {
      if (!names.has(name)) {
        this.cards.delete(name);
      }
    }
    const elements = entries.map(([name, value]) => {
      if (!this.cards.has(name)) {
        this.cards.set(name, this.create(name, value));
      }
      const card = this.cards.get(name);
      later(`${this.id}:${name}`, () => show(card, value));
      return card.element;
    });
    arrange(byId(`${this.id}-list`), elements);
  }
}

export class Services extends Cards {
  constructor() {
    super("services", (name) => new ServiceCard(name));
  }

  take(config, nodes) {
    this.update(Object.entries(config.services ?? {}), (card, service) => card.update(service, nodes));
  }
}

export class LoadBalancers extends Cards {
  constructor() {
    super("lbs", (_, node) => new LbCard(node));
  }

  take(nodes, end) {
    const lbs = [...nodes].filter(([, node]) => node.roles.includes("lb"));
    this.update(lbs, (card) => card.update(end));
  }
}

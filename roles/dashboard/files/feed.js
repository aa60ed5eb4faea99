// Asks the parents, again and again, and tells the page what they say. Runs in a worker (worker.js), so that reading the
// answers of hundreds of nodes never holds up a frame; needs nothing of the page but where it is.

import { FILTER, SERIES, parseAlarms, parseData, parseInfo, parseMetrics, ratesOf, sampleOf, skewOf, stateOf } from "./metrics.js";

const PACE = { visible: 2000, hidden: 30000 };
const RETRY = 1000;
const CONFIG_EVERY = 30000;
const INFO_TIMEOUT = 5000;
const ALARM_PACE = 150; // between two nodes' alarms
const ALARM_ROUND = 10000; // at least, for all nodes once
const OTHER_PARENTS_EVERY = 10000;
const HISTORY_SECONDS = 300;
const DETAIL_SECONDS = 900;
const AT_ONCE = 3;
const HELD = 15; // seconds that a value is drawn for, where a chart has no newer one
const METRICS =
  "api/v1/allmetrics?format=prometheus_all_hosts&source=as-collected&timestamps=yes&filter=" + encodeURIComponent(FILTER);
// A parent leaves out what was collected before the last request of the same `server`. Several names in turn, so that slow
// charts are in every answer, and names of this page's own, so that others who watch take nothing away. It remembers the
// names: few, then.
const SERVERS = 8;
const WATCHERS = 100;

/** A failed request, in words for people. */
class Failure extends Error {}

async function get(url, timeout, read) {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), timeout);
  try {
    const response = await fetch(url, { signal: controller.signal, cache: "no-store", credentials: "same-origin" });
    if (!response.ok) {
      throw new Failure(
        response.status === 401 || response.status === 403
          ? `The password is not accepted any more (HTTP ${response.status}); reload the page`
          : `The server says HTTP ${response.status}`,
      );
    }
    return await read(response);
  } catch (error) {
    if (error instanceof Failure) {
      throw error;
    }
    throw new Failure(
      controller.signal.aborted
        ? `No answer within ${timeout / 1000} seconds`
        : error instanceof SyntaxError
          ? "The answer is not what was expected"
          : "The server cannot be reached",
    );
  } finally {
    clearTimeout(timer);
  }
}

const asText = (response) => response.text();
const asJson = async (response) => JSON.parse(await response.text());
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** `base` is the page's address without its last part, `tell` takes the messages. */
export class Feed {
  constructor(base, tell) {
    this.base = base;
    this.tell = tell;
    this.config = null;
    this.configAt = 0;
    this.hidden = false;
    this.wake = () => {};
    this.skew = new Map();
    this.polledAt = 0;
    this.pinned = ""; // a parent of choice, see chooseParent
    this.comparedAt = 0;
    this.alarms = new Map(); // node: its alarms
    this.wanted = []; // histories to fetch
    this.fetching = 0;
    this.detail = "";
    this.last = new Map(); // node: the newest sample
    this.states = new Map();
    this.watcher = Math.floor(Math.random() * WATCHERS);
    this.asked = 0;
  }

  /** Never returns. */
  async run() {
    this.watchAlarms();
    for (;;) {
      const started = Date.now();
      let delay;
      try {
        await this.configure();
        await this.poll();
        delay = Math.max(250, PACE[this.hidden ? "hidden" : "visible"] - (Date.now() - started));
      } catch (error) {
        this.pinned = "";
        this.tell({ type: "failure", reason: error instanceof Failure ? error.message : `Internal error: ${error.message}` });
        delay = RETRY;
      }
      await new Promise((done) => {
        const timer = setTimeout(done, delay);
        this.wake = () => {
          clearTimeout(timer);
          done();
        };
      });
    }
  }

  /** Take a message of the page. */
  hear(message) {
    if (message.type === "hidden") {
      this.hidden = message.hidden;
      if (!message.hidden) {
        this.wake();
      }
    } else if (message.type === "history") {
      this.wanted = message.nodes;
      this.fetchHistories();
    } else if (message.type === "detail") {
      this.detail = message.node;
      this.fetchDetail(message.node);
    }
  }

  url(path, parent = this.pinned) {
    return this.base + (parent ? `parents/${encodeURIComponent(parent)}/` : this.config.api) + path;
  }

  async configure() {
    if (this.config !== null && Date.now() - this.configAt < CONFIG_EVERY) {
      return;
    }
    let config;
    try {
      config = await get(`${this.base}nexus.json`, INFO_TIMEOUT, asJson);
    } catch (error) {
      if (this.config === null) {
        throw error;
      }
      return; // the old one is good enough while it cannot be had
    }
    this.configAt = Date.now();
    this.config = config;
    this.tell({ type: "config", config });
  }

  timeout() {
    return Math.max(4000, Math.min(15000, 3000 + 30 * this.config.nodes.length));
  }

  async view(parent) {
    const [text, info] = await Promise.all([
      get(this.url(`${METRICS}&server=nexus-${this.watcher}-${this.asked++ % SERVERS}`, parent), this.timeout(), asText),
      get(this.url("api/v1/info", parent), this.timeout(), asJson),
    ]);
    return { ...parseInfo(info), metrics: parseMetrics(text), bytes: text.length };
  }

  async poll() {
    const view = await this.view(this.pinned);
    const now = view.metrics.now || Date.now();
    const steady = now - this.polledAt < 5000;
    this.polledAt = now;
    const nodes = {};
    for (const { name } of this.config.nodes) {
      nodes[name] = this.nodeOf(name, view.hosts.get(name), view.metrics.hosts.get(name), now, steady);
    }
    this.tell({ type: "tick", now, parent: view.parent, pinned: this.pinned, nodes, bytes: view.bytes });
    await this.chooseParent(nodes);
  }

  nodeOf(name, status, charts, now, steady) {
    const sample = charts?.size > 0 ? sampleOf(charts) : null;
    const before = this.last.get(name);
    const time = sample?.time ?? before?.time ?? 0; // a parent says nothing of a node that left
    const moved = before !== undefined && time > before.time;
    if (moved && steady) {
      this.skew.set(name, skewOf(now, time));
    }
    const state = stateOf({ status, time, now, skew: this.skew.get(name) ?? 0 });
    this.states.set(name, state.state);
    const rates = before && sample && moved ? ratesOf(before, sample) : null;
    if (sample && (moved || before === undefined || time < before.time)) {
      this.last.set(name, sample);
    }
    return { ...state, moved, rates, sample: sample && { ...sample, cpu: null, net: null } };
  }

  /**
   * With several parents: where the one that answers does not have every node live, and another has more of them live
   * (one that just started knows few), use that one. Looked at now and then only.
   */
  async chooseParent(nodes) {
    const parents = this.config.parents ?? [];
    if (this.config.api.startsWith(".") || parents.length < 2 || Date.now() - this.comparedAt < OTHER_PARENTS_EVERY) {
      return;
    }
    const live = Object.values(nodes).filter((node) => node.state === "live").length;
    if (live === this.config.nodes.length && this.pinned === "") {
      return;
    }
    this.comparedAt = Date.now();
    let best = { parent: this.pinned, live };
    for (const parent of ["", ...parents]) {
      if (parent === this.pinned) {
        continue;
      }
      try {
        const view = await this.view(parent);
        const others = this.config.nodes.filter(({ name }) => {
          const charts = view.metrics.hosts.get(name);
          const time = charts ? sampleOf(charts).time : 0;
          const state = stateOf({ status: view.hosts.get(name), time, now: view.metrics.now, skew: this.skew.get(name) ?? 0 });
          return state.state === "live";
        }).length;
        if (others > best.live || (others === best.live && parent === "")) {
          best = { parent, live: others };
        }
      } catch {
        // It is not to be chosen then.
      }
    }
    if (best.parent !== this.pinned) {
      this.pinned = best.parent;
    }
  }

  /** Ask one node's alarms after the other's, those with problems in every round first. */
  async watchAlarms() {
    for (;;) {
      const started = Date.now();
      const nodes = this.config?.nodes ?? [];
      let failed = false;
      for (const { name } of nodes) {
        if (failed || this.config.nodes !== nodes) {
          break;
        }
        if (!this.last.has(name)) {
          continue;
        }
        try {
          const answer = await get(this.url(`host/${encodeURIComponent(name)}/api/v1/alarms?active`), INFO_TIMEOUT, asJson);
          this.setAlarms(name, parseAlarms(answer, name));
        } catch (error) {
          failed = error.message !== "The answer is not what was expected" && !error.message.includes("HTTP 4");
        }
        await pause(nodes.length < 10 ? 20 : ALARM_PACE);
      }
      if (nodes.length > 0) {
        this.tellAlarms();
      }
      const rest = nodes.length === 0 || this.last.size === 0 ? 300 : ALARM_ROUND;
      await pause(Math.max(this.hidden ? PACE.hidden : 1000, rest - (Date.now() - started)) * (rest === 300 ? 0.3 : 1));
    }
  }

  setAlarms(name, alarms) {
    const before = this.alarms.get(name) ?? [];
    this.alarms.set(name, alarms);
    if (alarms.map((alarm) => alarm.key + alarm.status).join() !== before.map((alarm) => alarm.key + alarm.status).join()) {
      this.tellAlarms();
    }
  }

  tellAlarms() {
    const known = new Set(this.config.nodes.map((node) => node.name));
    const alarms = [...this.alarms].filter(([name]) => known.has(name)).flatMap(([, list]) => list);
    this.tell({ type: "alarms", alarms, complete: true });
  }

  charts(name) {
    const sample = this.last.get(name);
    if (!sample) {
      return null;
    }
    return {
      cpu: "system.cpu",
      memory: "system.ram",
      ...(sample.diskChart ? { disk: sample.diskChart } : {}),
      ...(sample.lb?.requests ? { requests: "nexus_lb.requests" } : {}),
      ...Object.fromEntries(sample.interfaces.map((name) => [`net:${name}`, `net.${name}`])),
    };
  }

  async series(name, seconds, points) {
    const charts = this.charts(name);
    if (charts === null) {
      return null;
    }
    const answers = {};
    for (const [key, chart] of Object.entries(charts)) {
      const path = `api/v1/data?chart=${encodeURIComponent(chart)}&after=-${seconds}&points=${points}&format=json`;
      try {
        answers[key] = parseData(await get(this.url(`host/${encodeURIComponent(name)}/${path}`), INFO_TIMEOUT, asJson));
      } catch {
        // A host without data in that time answers in words.
      }
    }
    return answers;
  }

  /** The histories of the nodes on the screen, a few at a time. */
  fetchHistories() {
    while (this.fetching < AT_ONCE && this.wanted.length > 0) {
      const name = this.wanted.shift();
      this.fetching += 1;
      this.series(name, HISTORY_SECONDS, HISTORY_SECONDS / 2)
        .then((answers) => this.tell({ type: "history", node: name, series: answers && joined(answers) }))
        .finally(() => {
          this.fetching -= 1;
          this.fetchHistories();
        });
    }
  }

  async fetchDetail(name) {
    while (name !== "" && this.detail === name) {
      const answers = await this.series(name, DETAIL_SECONDS, DETAIL_SECONDS / 3);
      if (this.detail === name && answers !== null) {
        this.tell({ type: "detail", node: name, series: joined(answers) });
      }
      await pause(this.hidden ? PACE.hidden : answers === null ? 500 : 4000);
    }
  }
}

/** Return {times, cpu, memory, disk, requests, received, sent}, columns of one table; interfaces are added up. */
function joined(answers) {
  const times = answers.cpu?.times ?? Object.values(answers)[0]?.times ?? [];
  const series = { times };
  const add = (key, answer, values) => {
    const before = series[key];
    let next = 0;
    series[key] = times.map((time, row) => {
      while (next < answer.times.length && answer.times[next] <= time) {
        next += 1;
      }
      // The newest value of then: charts of different pace have no times in common.
      const value = next > 0 && time - answer.times[next - 1] < HELD ? values[next - 1] : null;
      return before && value !== null ? (before[row] ?? 0) + value : value ?? before?.[row] ?? null;
    });
  };
  for (const [name, answer] of Object.entries(answers)) {
    for (const key of name.startsWith("net:") ? ["received", "sent"] : [name]) {
      const values = SERIES[key](answer);
      if (values) {
        add(key, answer, values);
      }
    }
  }
  return series;
}

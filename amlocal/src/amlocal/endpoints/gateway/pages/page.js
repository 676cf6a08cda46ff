// For a model's own page: `endpoint`, its way to the scoring script. The page has neither the key nor a network.
"use strict";

if (parent === window) location.replace("/console");  // opened by itself, it could ask nobody

const endpoint = (() => {
  const open = new Map();
  let told, last = 0;
  addEventListener("message", event => {
    if (event.source !== parent) return;
    const { about, id, answer } = event.data;
    if (about) told?.(about);
    else if (open.has(id)) {
      open.get(id)(answer);
      open.delete(id);
    }
  });
  return {
    /** Calls `tell` with {name, description, deployments: [{name, traffic, mirror, runs}]}, and again when it changes. */
    watch(tell) {
      told = tell;
      parent.postMessage({ watch: true }, "*");
    },
    /** Has a request scored, by the traffic rule or by the deployment named: {status, ms, headers, text, explained}. */
    score(input, deployment) {
      const id = ++last;
      parent.postMessage({ id, body: JSON.stringify(input), deployment }, "*");
      return new Promise(done => open.set(id, done));
    },
  };
})();

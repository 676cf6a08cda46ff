// Asks the endpoint, and says in words what came back. The key is here and nowhere else.

let key = "";

export function useKey(given) { key = given; }

const hex = bytes => Array.from(new Uint8Array(bytes), byte => byte.toString(16).padStart(2, "0")).join("");

/**
 * Asks the listener to prove that it knows the key: 200 if it does, 401 if not, 0 if nothing answers. Another program
 * may have taken the port since this page was loaded, and must not get the key. The protocol is that of proof.py.
 */
async function proven() {
  const nonce = hex(crypto.getRandomValues(new Uint8Array(24))), text = new TextEncoder();
  const unsigned = key.split(".").length === 3 ? `&token=${key.slice(0, key.lastIndexOf("."))}` : "";
  let answer;
  try {
    answer = await fetch(`/challenge?nonce=${nonce}${unsigned}`, OPTIONS);
  } catch {
    return 0;
  }
  try {
    const { proofs } = await answer.json();
    const secret = await crypto.subtle.importKey(
      "raw", text.encode(key), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    const wanted = await crypto.subtle.sign("HMAC", secret, text.encode(`amlocal\n${location.port || 80}\n${nonce}`));
    return proofs.includes(hex(wanted)) ? 200 : 401;
  } catch {
    return 401;
  }
}

const OPTIONS = { credentials: "omit", cache: "no-store", redirect: "error", referrerPolicy: "no-referrer" };

/** One request: {status, ms, headers, text, explained}; status 0 when nothing answered. Never throws. */
export async function ask(path, { body, deployment } = {}) {
  const headers = {};
  if (key) headers.authorization = `Bearer ${key}`;
  if (deployment) headers["azureml-model-deployment"] = deployment;
  if (body !== undefined) {
    headers["content-type"] = "application/json";
    // On record it is known by this that a person tried it.
    headers["x-ms-client-request-id"] = `console-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
  }
  const answer = { status: 0, ms: 0, headers: {}, text: "" };
  const status = key ? await proven() : 200;
  if (status !== 200) return { ...answer, status, explained: MEANINGS[status] };
  const start = performance.now();
  try {
    const response = await fetch(path, { ...OPTIONS, method: body === undefined ? "GET" : "POST", headers, body });
    answer.text = await response.text();
    answer.status = response.status;
    answer.headers = Object.fromEntries(response.headers);
  } catch { /* status 0 says it */ }
  answer.ms = performance.now() - start;
  answer.explained = explain(answer);
  return answer;
}

const WIDTH = 58;

/** JSON for people: lists of numbers and words run on in lines, rather than one word a line. */
export function pretty(value, indent = "") {
  const inner = `${indent}  `, flat = one => one === null || typeof one !== "object";
  if (Array.isArray(value)) {
    if (value.every(flat)) {
      const lines = [""];
      for (const [i, one] of value.entries()) {
        const word = JSON.stringify(one) + (i + 1 < value.length ? "," : ""), line = lines.at(-1);
        if (line && indent.length + line.length + word.length > WIDTH) lines.push(word);
        else lines[lines.length - 1] += line ? ` ${word}` : word;
      }
      return lines.length === 1 ? `[${lines[0]}]` : `[\n${lines.map(line => inner + line).join("\n")}\n${indent}]`;
    }
    return `[\n${value.map(one => inner + pretty(one, inner)).join(",\n")}\n${indent}]`;
  }
  if (flat(value) || !Object.keys(value).length) return JSON.stringify(value);
  const lines = Object.entries(value).map(([name, one]) => `${inner}${JSON.stringify(name)}: ${pretty(one, inner)}`);
  return `{\n${lines.join(",\n")}\n${indent}}`;
}

// Where the gateway says nothing, or nothing that helps a person.
const MEANINGS = {
  0: "The endpoint does not answer. `aml doctor` tells what runs, and `aml up` starts it again.",
  401: "What you entered with is not, or no longer, right.",
};

/** What an answer that is not 200 means: "" for one that is. */
function explain({ status, headers, text }) {
  if (status === 200) return "";
  let message = "";
  try { message = JSON.parse(text).message ?? ""; } catch { /* not JSON: shown as it is */ }
  if (status === 424) {
    const code = headers["ms-azureml-model-error-statuscode"], reason = headers["ms-azureml-model-error-reason"];
    return `The model itself answered ${code}${reason ? ` ${reason}` : ""}${message ? `: ${message}` : "."}`;
  }
  if (status === 401 || !message || typeof message !== "string") return MEANINGS[status] ?? `Status ${status}.`;
  return message[0].toUpperCase() + message.slice(1);
}

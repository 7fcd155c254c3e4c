/**
 * A reverse proxy that does to answers what networks and servers do: drops, delays, cuts, doubles
 * and alters them.
 * @module
 */
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export type Fault =
  | { readonly kind: "status"; readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  /** Closes the connection without an answer. */
  | { readonly kind: "drop" }
  /** Passes the request on, and closes the connection in the place of the answer. */
  | { readonly kind: "lost" }
  /** Answers with something that is not HTTP. */
  | { readonly kind: "garbage" }
  /** Answers after so many milliseconds. */
  | { readonly kind: "delay"; readonly milliseconds: number }
  /** Sends half of the body and then nothing more. */
  | { readonly kind: "stall" }
  /** Sends half of the body and closes the connection. */
  | { readonly kind: "cut" }
  /** Sends half of the body and ends it properly, without a length. */
  | { readonly kind: "short" }
  /** Sends the body twice. */
  | { readonly kind: "duplicate" }
  /** Flips a bit in the middle of the body. */
  | { readonly kind: "alter" }
  /** Sends a body that never ends. */
  | { readonly kind: "endless" };

export interface ProxiedRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
}

export interface FaultProxy {
  readonly url: string;
  /** Decides for each request; undefined passes it on. */
  decide: (request: ProxiedRequest) => Fault | undefined;
  readonly requests: ProxiedRequest[];
  /** Most requests that were open at once. */
  peak: number;
  /** Requests that are open. */
  open(): number;
  close(): Promise<void>;
}

/** Starts a proxy in front of a server; `upstream` ends with a slash. */
export async function startFaultProxy(upstream: string): Promise<FaultProxy> {
  let open = 0;
  const server = createServer((incoming, response) => {
    open++;
    proxy.peak = Math.max(proxy.peak, open);
    response.once("close", () => open--);
    void answer(incoming, response).catch(() => response.destroy());
  });
  const answer = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const seen = { method: incoming.method ?? "", url: incoming.url ?? "", headers: incoming.headers };
    proxy.requests.push(seen);
    const fault = proxy.decide(seen);
    if (fault?.kind === "drop") return void response.destroy();
    if (fault?.kind === "garbage") return void response.socket?.end("220 ready for mail\r\n\r\n");
    if (fault?.kind === "delay") await sleep(fault.milliseconds);
    if (fault?.kind === "status") return void response.writeHead(fault.status, fault.headers).end("fault");
    const answered = await forward(new URL(seen.url.slice(1), upstream), incoming);
    if (fault?.kind === "lost") return void response.destroy();
    let body = answered.body;
    const half = body.length >> 1;
    if (fault?.kind === "duplicate") body = Buffer.concat([body, body]);
    if (fault?.kind === "alter") body[half] = (body[half] ?? 0) ^ 4;
    response.statusCode = answered.status;
    for (const name of [
      "last-modified",
      "etag",
      "x-goog-generation",
      "location",
      "link",
      "www-authenticate",
      "content-range",
      "allow",
      "imgtool-keep",
    ]) {
      const value = answered.headers[name];
      if (value !== undefined) response.setHeader(name, value);
    }
    const length = seen.method === "HEAD" ? (answered.headers["content-length"] ?? "0") : body.length;
    if (fault?.kind !== "short" && fault?.kind !== "endless") response.setHeader("content-length", length);
    if (fault?.kind === "endless") {
      while (!response.destroyed) {
        response.write(Buffer.alloc(65_536));
        await sleep(1);
      }
    } else if (fault?.kind === "stall") response.write(body.subarray(0, half));
    else if (fault?.kind === "cut") response.write(body.subarray(0, half), () => response.destroy());
    else response.end(fault?.kind === "short" ? body.subarray(0, half) : body);
  };
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy: FaultProxy = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    decide: () => undefined,
    requests: [],
    peak: 0,
    open: () => open,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return proxy;
}

interface Answered {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
}

/**
 * With all its headers, Host too: signatures are made over it. Swift answers HEAD with a body when there is
 * no object, which the parser refuses: that answer ends with its headers.
 */
async function forward(url: URL, incoming: IncomingMessage): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const { method, headers } = incoming;
    const outgoing = request(url, { method, headers, agent: false }, (response) => {
      const pieces: Buffer[] = [];
      const whole = (): Answered => ({
        status: response.statusCode ?? 0,
        headers: response.headers,
        body: Buffer.concat(pieces),
      });
      if (method === "HEAD") resolve(whole());
      response.on("data", (piece: Buffer) => pieces.push(piece));
      response.on("error", reject);
      response.on("end", () => resolve(whole()));
    });
    outgoing.on("error", reject);
    incoming.pipe(outgoing);
  });
}

/** Decides `fault` for the first `count` requests, then none. */
export function firstTimes(count: number, fault: Fault): () => Fault | undefined {
  let seen = 0;
  return () => (seen++ < count ? fault : undefined);
}

/** What the store contract asks for, of requests that match: see ReadFailure, WriteFailure and ListFailure. */
export function failing(
  failure: "once" | "cut" | "lost" | "always" | "slow",
  matches: (request: ProxiedRequest) => boolean,
): FaultProxy["decide"] {
  const fault: Fault =
    failure === "slow"
      ? { kind: "delay", milliseconds: 60_000 }
      : failure === "always"
        ? { kind: "status", status: 503 }
        : { kind: failure === "once" ? "drop" : failure };
  const decide = failure === "slow" || failure === "always" ? () => fault : firstTimes(1, fault);
  return (request) => (matches(request) ? decide() : undefined);
}

/** Matches from the second request on that matches: a listing's second page. */
export function afterFirst(matches: (request: ProxiedRequest) => boolean): (request: ProxiedRequest) => boolean {
  let seen = 0;
  return (request) => matches(request) && seen++ > 0;
}

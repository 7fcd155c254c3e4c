/**
 * One request and its answer on undici's dispatcher: its lowest interface, which makes no streams and
 * no promises per piece of the body. Sizes are limited while the body comes in.
 * @module
 */
import { abortedError, FormatError } from "@imgtool/core";
import type { Dispatcher } from "undici";
import type { HttpTarget } from "./http-target.ts";
import type { RateLimit } from "./rate-limit.ts";

type Controller = Dispatcher.DispatchController;
type Headers = Readonly<Record<string, string | string[] | undefined>>;

export type HttpMethod = "GET" | "HEAD" | "PUT" | "POST" | "DELETE" | "OPTIONS" | "PROPFIND" | "PROPPATCH" | "MKCOL";

/** Takes the body of a 200, 206 or 207 answer piece by piece, synchronously: pieces are not kept beyond the call. */
export interface BodySink {
  /** Called before the first piece; `length` is the announced one. */
  start(length: number | undefined): void;
  write(piece: Uint8Array): void;
}

export interface ExchangeRequest {
  readonly method: HttpMethod;
  /** What is sent: whole, so that it can be sent again. */
  readonly body?: Uint8Array | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** Most bytes of the body that are taken. */
  readonly maxBytes: number;
  readonly signal: AbortSignal | undefined;
  /** The connection is not read while the limit is exceeded. */
  readonly rateLimit?: RateLimit | undefined;
}

export interface ExchangeResult {
  readonly status: number;
  readonly headers: Headers;
  /** Bytes of body that came in. */
  readonly received: number;
  /** What a storage service calls the error, such as `SignatureDoesNotMatch`. */
  readonly errorCode?: string | undefined;
}

/** Error pages are read to keep the connection, but not further than this. */
const maxErrorPage = 65_536;

/** In how much of an error page the error's code is looked for: it stands at the beginning. */
const errorHead = 1024;

/** What setTimeout() takes, in milliseconds. */
const longestTimer = 2 ** 31 - 1;

/** The body does not have the announced length: the exchange is worth repeating. */
class TruncatedBody extends Error {
  readonly code = "body-length";
}

/**
 * Sends a request and waits until its answer has been taken whole.
 * @throws FormatError `http-too-large`; AbortedError; what undici or the sink throws otherwise
 */
export function exchange(
  dispatcher: Dispatcher,
  target: HttpTarget,
  request: ExchangeRequest,
  sink: BodySink,
): Promise<ExchangeResult> {
  return new Promise((resolve, reject) => {
    const handler = new ExchangeHandler(target, request, sink, resolve, reject);
    if (handler.settled) return;
    dispatcher.dispatch(
      {
        origin: target.origin,
        // the root of a host: a bucket that has one of its own
        path: (target.path || "/") + target.query,
        method: request.method,
        headers: { ...request.headers },
        ...(request.body === undefined ? {} : { body: request.body }),
      },
      handler,
    );
  });
}

function hasContent(status: number): boolean {
  return status === 200 || status === 206 || status === 207;
}

class ExchangeHandler implements Dispatcher.DispatchHandler {
  settled = false;
  readonly #target: HttpTarget;
  readonly #request: ExchangeRequest;
  readonly #sink: BodySink;
  readonly #resolve: (result: ExchangeResult) => void;
  readonly #reject: (error: unknown) => void;
  readonly #onAbort: () => void;
  #controller: Controller | undefined;
  #status = 0;
  #headers: Headers = {};
  #announced: number | undefined;
  #received = 0;
  #error = "";
  /** Runs while the connection is not read. */
  #pause: NodeJS.Timeout | undefined;

  constructor(
    target: HttpTarget,
    request: ExchangeRequest,
    sink: BodySink,
    resolve: (result: ExchangeResult) => void,
    reject: (error: unknown) => void,
  ) {
    this.#target = target;
    this.#request = request;
    this.#sink = sink;
    this.#resolve = resolve;
    this.#reject = reject;
    const { signal } = request;
    this.#onAbort = () => {
      if (signal !== undefined) this.#fail(abortedError(signal));
    };
    if (signal?.aborted === true) this.#onAbort();
    else signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  onRequestStart(controller: Controller): void {
    this.#controller = controller;
    // cancelled while it waited for a connection
    if (this.settled) controller.abort(new Error("cancelled"));
  }

  onResponseStart(_controller: Controller, status: number, headers: Headers): void {
    if (status < 200) return;
    this.#status = status;
    this.#headers = headers;
    const announced = headers["content-length"];
    this.#announced = typeof announced === "string" && /^\d+$/.test(announced) ? Number(announced) : undefined;
    if (!hasContent(status) || this.#request.method === "HEAD") return;
    if ((this.#announced ?? 0) > this.#request.maxBytes) this.#failTooLarge(this.#announced ?? 0);
    else this.#sink.start(this.#announced);
  }

  onResponseData(controller: Controller, piece: Buffer): void {
    if (this.settled) return;
    this.#received += piece.length;
    if (!hasContent(this.#status)) {
      if (this.#error.length < errorHead) this.#error += piece.toString("latin1", 0, errorHead);
      if (this.#received > maxErrorPage) {
        this.#end();
        controller.abort(new Error("the error page is too long"));
      }
      return;
    }
    if (this.#received > this.#request.maxBytes) {
      this.#failTooLarge(this.#received);
      return;
    }
    try {
      this.#sink.write(piece);
    } catch (error) {
      this.#fail(error);
      return;
    }
    const pause = this.#request.rateLimit?.take(piece.length) ?? 0;
    if (pause === 0) return;
    controller.pause();
    this.#pause = setTimeout(() => controller.resume(), Math.min(pause, longestTimer));
  }

  onResponseEnd(): void {
    this.#end();
  }

  onResponseError(_controller: Controller, error: Error): void {
    this.#fail(error);
  }

  #end(): void {
    const { method } = this.#request;
    if (method !== "HEAD" && hasContent(this.#status) && this.#announced !== undefined) {
      if (this.#announced !== this.#received) {
        this.#fail(new TruncatedBody(`expected ${this.#announced} bytes, found ${this.#received}`));
        return;
      }
    }
    if (!this.#settle()) return;
    const errorCode = /<Code>([A-Za-z]{1,64})<\/Code>/.exec(this.#error)?.[1];
    this.#resolve({ status: this.#status, headers: this.#headers, received: this.#received, errorCode });
  }

  #failTooLarge(found: number): void {
    const { maxBytes } = this.#request;
    this.#fail(
      new FormatError(`${this.#target.shown} is too large: expected at most ${maxBytes} bytes, found ${found}`, {
        code: "http-too-large",
        data: { url: this.#target.shown, maxBytes, found },
      }),
    );
  }

  #fail(error: unknown): void {
    if (!this.#settle()) return;
    this.#reject(error);
    this.#controller?.abort(error instanceof Error ? error : new Error(String(error)));
  }

  #settle(): boolean {
    if (this.settled) return false;
    this.settled = true;
    clearTimeout(this.#pause);
    this.#request.signal?.removeEventListener("abort", this.#onAbort);
    return true;
  }
}

/**
 * What can go wrong with a server, as errors that say what to do about it.
 * @module
 */
import { errorMessage, NetworkError, NotFoundError, systemErrorCode } from "@imgtool/core";
import type { HttpMethod } from "./http-exchange.ts";
import type { HttpTarget } from "./http-target.ts";

/** The server's answer to a URL that it does not have. */
export function notFound(target: HttpTarget): NotFoundError {
  return new NotFoundError(`there is no ${target.shown}`, {
    code: "http-not-found",
    hint: "check the URL",
    data: { url: target.shown },
  });
}

/**
 * An answer that is neither what was asked for nor that there is nothing.
 * @param errorCode what a storage service calls the error
 */
export function statusError(
  target: HttpTarget,
  status: number,
  method: HttpMethod = "GET",
  errorCode?: string,
): NetworkError {
  const hints: Readonly<Record<number, string>> = {
    401: "check the credentials; those for web servers belong into ~/.config/imgtool/stores.conf: see docs/stores.md",
    403: isReading(method)
      ? "check that the server lets you read; object storage answers 403 for what is missing unless it may be listed"
      : "check that these credentials may write",
    405: "the server takes no writes here; imgtool serve --writable and nginx with dav_methods PUT do",
    407: "write the proxy's user name and password into HTTPS_PROXY",
    507: "the server has no space left",
  };
  const isLate = errorCode !== undefined && /Skewed|Expired/.test(errorCode);
  const hint = isLate
    ? "check this machine's clock"
    : (hints[status] ?? (status >= 500 ? "try again later" : undefined));
  const request = isReading(method) ? target.shown : `${method} ${target.shown}`;
  return new NetworkError(
    `the server answers ${request} with status ${status}${errorCode === undefined ? "" : ` (${errorCode})`}, expected 200`,
    {
      code: "http-status",
      data: {
        url: target.shown,
        method,
        expected: 200,
        found: status,
        ...(errorCode === undefined ? {} : { errorCode }),
      },
      ...(hint === undefined ? {} : { hint }),
    },
  );
}

/** The stored form would be lost: a chunk's compression is told from its own bytes. */
export function encodingError(target: HttpTarget, encoding: string): NetworkError {
  return new NetworkError(`the server compresses ${target.shown} on the way (${encoding}), though asked not to`, {
    code: "http-encoding",
    hint: "switch off Content-Encoding for chunks and indexes on the server",
    data: { url: target.shown, expected: "identity", found: encoding },
  });
}

const timeouts: Readonly<Record<string, string>> = {
  UND_ERR_CONNECT_TIMEOUT: "no connection in time",
  UND_ERR_HEADERS_TIMEOUT: "no answer in time",
  UND_ERR_BODY_TIMEOUT: "the answer stopped midway",
};

/** A connection that could not be made, broke, or timed out. */
export function connectionError(target: HttpTarget, cause: unknown, method: HttpMethod = "GET"): NetworkError {
  const verb = isReading(method) ? "read" : "write";
  const code = systemErrorCode(cause) ?? "";
  const timeout = timeouts[code];
  const options = { data: { url: target.shown, errno: code }, cause };
  if (timeout !== undefined) {
    return new NetworkError(`cannot ${verb} ${target.shown}: ${timeout}`, {
      ...options,
      code: "http-timeout",
      hint: "check the connection to the server, or try again later",
    });
  }
  // Happy Eyeballs: what failed for each address is in an AggregateError without a message
  const inner: unknown = cause instanceof AggregateError ? cause.errors[0] : cause;
  return new NetworkError(`cannot ${verb} ${target.shown}: ${errorMessage(inner) || code}`, {
    ...options,
    code: "http-connection",
    hint: connectionHint(target, code),
  });
}

function connectionHint(target: HttpTarget, code: string): string {
  // an alert is what the server says of the client: that it has no certificate, or a wrong one
  if (/^ERR_SSL_.*ALERT.*CERT|^ERR_SSL_.*ALERT_UNKNOWN_CA/.test(code))
    return "the server asks for another client certificate: name it with ClientCertificate= in stores.conf (docs/stores.md)";
  if (/CERT|SIGNED|_ALTNAME_/.test(code))
    return "the server's certificate is not trusted: name a PEM file with its authority in stores.conf (CertificateAuthority=, docs/stores.md) or NODE_EXTRA_CA_CERTS";
  const general = "check that the server runs, its name, and HTTP_PROXY, HTTPS_PROXY and NO_PROXY";
  // With TLS 1.3 a server that is shown no certificate hangs up after the client's handshake is complete.
  return target.origin.startsWith("https:") && (code === "UND_ERR_SOCKET" || code === "ECONNRESET")
    ? `${general}; where it asks for a client certificate, ClientCertificate= in stores.conf names one (docs/stores.md)`
    : general;
}

function isReading(method: HttpMethod): boolean {
  return ["GET", "HEAD", "OPTIONS", "PROPFIND"].includes(method);
}

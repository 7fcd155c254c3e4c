/**
 * `ftp://[user[:password]@]host[:port]/path`: files of an FTP server; `ftps://` for the same port with TLS,
 * asked for by AUTH TLS. The path begins in the directory after login, as RFC 1738 (3.2.2) has it;
 * `//path` and `/%2Fpath` begin at the server's root.
 * @module
 */
import { ConfigError } from "@imgtool/core";

export interface FtpPlace {
  readonly host: string;
  readonly port: number;
  /** Whether TLS is asked for, on both connections. */
  readonly isSecure: boolean;
  readonly user: string | undefined;
  readonly password: string | undefined;
  /** As the server has it, without a slash at its end. */
  readonly path: string;
  /** The location without user and password, for messages. */
  readonly shown: string;
}

const schemePattern = /^ftps?:\/\//i;

export function isFtpLocation(location: string): boolean {
  return schemePattern.test(location);
}

/** @throws ConfigError `url-invalid` */
export function parseFtpLocation(location: string): FtpPlace {
  const isSecure = /^ftps:/i.test(location);
  // What an invalid URL may hold as a password is not repeated.
  const shown = location.replace(/^([a-z]+:\/\/)[^/]*@/i, "$1").split("?", 1)[0] ?? "";
  // The rules for URLs of the other scheme would leave names of hosts as they are.
  const plain = location.replace(/^ftps:/i, "ftp:");
  if (!/^ftp:\/\/[^/\\]/i.test(plain) || !URL.canParse(plain)) throw invalid(shown, "no URL with a host");
  const url = new URL(plain);
  if (url.search !== "" || url.hash !== "") throw invalid(shown, "a query or a fragment: write %3F and %23");
  // URLs drop dots, and with them what stood before.
  if (shown.split("/").some((part) => /^(\.|%2e){1,2}$/i.test(part))) throw invalid(shown, "a dot or two as a name");
  const [user, password, path] = [url.username, url.password, url.pathname.replace(/\/+$/, "")].map((part) =>
    decode(part, shown),
  );
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: url.port === "" ? 21 : Number(url.port),
    isSecure,
    user: user === "" ? undefined : user,
    password: password === "" ? undefined : password,
    path: (path ?? "").replace(/^\//, "").replace(/^\/+/, "/"),
    shown,
  };
}

/**
 * Text that becomes part of a command, in which a line's end would begin another one.
 * @throws ConfigError `url-invalid`
 */
export function checkCommandText(text: string, shown: string): string {
  if (/[\r\n\0]/.test(text)) throw invalid(shown, "a line's end or a NUL");
  return text;
}

function decode(part: string, shown: string): string {
  let text: string;
  try {
    text = decodeURIComponent(part);
  } catch {
    throw invalid(shown, "a broken percent-escape");
  }
  return checkCommandText(text, shown);
}

function invalid(shown: string, found: string): ConfigError {
  return new ConfigError(`not the location of files on an FTP server: ${JSON.stringify(shown)}: found ${found}`, {
    code: "url-invalid",
    hint: "expected ftp://host/path or ftps://host/path",
    data: { location: shown, found },
  });
}

/**
 * What FTP servers say no with, as errors that say what to do about it.
 * @module
 */
import { EnvironmentError, errorMessage, ImgtoolError, NetworkError, systemErrorCode } from "@imgtool/core";
import { replyCode } from "./connections.ts";

const denied = /permission denied|access (is )?denied|not permitted|not allowed|read-?only/i;

/** Whether the answer says that there is no such file: 550 says many things. */
export function isMissing(error: unknown): boolean {
  const code = replyCode(error);
  if (code === 450) return /no such file/i.test(errorMessage(error));
  return code === 550 && !denied.test(errorMessage(error));
}

/** Whether the answer says that the server does not know the command. */
export function isUnknownCommand(error: unknown): boolean {
  const code = replyCode(error);
  return code === 500 || code === 501 || code === 502 || code === 504;
}

/** What failed at a place; an ImgtoolError is passed on. */
export function ftpError(error: unknown, action: "read" | "write", shown: string): ImgtoolError {
  if (error instanceof ImgtoolError) return error;
  const code = replyCode(error);
  const text = errorMessage(error).slice(0, 500);
  const message = `cannot ${action} ${shown}: ${text}`;
  const options = { data: { store: shown, found: code ?? systemErrorCode(error) ?? "" }, cause: error };
  if (code === 530 || code === 430 || code === 332) {
    return new NetworkError(`the FTP server of ${shown} refuses the login: ${text}`, {
      ...options,
      code: "ftp-login",
      hint: "write user:password@ into the URL, an entry into ~/.netrc, or set FTP_USER and FTP_PASSWORD",
    });
  }
  if (code === 452 || code === 552) {
    return new EnvironmentError(`no space left to write ${shown}: ${text}`, {
      ...options,
      code: "no-space",
      hint: "free space on the server, or raise the user's quota, and run again: chunks already stored are kept",
    });
  }
  if (code === 532 || code === 553 || (code === 550 && (action === "write" || denied.test(text)))) {
    return new EnvironmentError(message, {
      ...options,
      code: action === "write" ? "store-not-writable" : "store-not-readable",
      hint: "check what the user may do in that directory on the server",
    });
  }
  if (/^(DEPTH_|SELF_|UNABLE_|CERT_|ERR_TLS_)/.test(systemErrorCode(error) ?? "")) {
    return new NetworkError(message, {
      ...options,
      code: "ftp-certificate",
      hint: "the server's certificate is not trusted: point NODE_EXTRA_CA_CERTS to a PEM file with its authority",
    });
  }
  return new NetworkError(message, {
    ...options,
    code: "ftp-failed",
    hint: "check that the server runs, its name, and that it takes passive connections",
  });
}

/**
 * Addresses of mirrors, as settings give them.
 * @module
 */
import { ConfigError } from "@imgtool/core";

/** The address without a slash at its end. @throws ConfigError `mirror-invalid` */
export function mirrorUri(setting: string, uri: string | undefined): string | undefined {
  if (uri === undefined) return undefined;
  if (/^[a-z][a-z0-9+.-]*:\//.test(uri)) return uri.replace(/\/+$/, "");
  throw new ConfigError(`${setting}=: ${JSON.stringify(uri)} is not a URL`, {
    code: "mirror-invalid",
    hint: "expected something like https://mirror.example.org/fedora or file:///srv/mirror",
    data: { mirror: uri },
  });
}

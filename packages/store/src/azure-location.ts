/**
 * Locations of stores in containers of Azure Blob Storage: `azure://account/container/prefix`, and
 * `azure+http://host:port/account/container/prefix` for emulators and gateways.
 * @module
 */
import { ConfigError } from "@imgtool/core";
import { bareTarget, isHostilePart, prefixOf } from "./bucket-location.ts";
import type { HttpTarget } from "./http-target.ts";

export interface AzurePlace {
  readonly account: string;
  /** The container's URL. */
  readonly target: HttpTarget;
  /** What the names of all blobs of the store begin with: empty, or ending with a slash. */
  readonly prefix: string;
}

const schemePattern = /^azure(?:\+(https?))?:\/\//;

export function isAzureLocation(location: string): boolean {
  return schemePattern.test(location);
}

/**
 * @param endpoint the URL of the account's blobs, where that is not `https://ACCOUNT.blob.core.windows.net`
 * @throws ConfigError `url-invalid`; `credentials-in-url`
 */
export function parseAzureLocation(
  location: string,
  endpoint: (account: string) => string | undefined = () => undefined,
): AzurePlace {
  const [scheme = "", protocol] = schemePattern.exec(location) ?? [];
  const names = location.slice(scheme.length).split("/");
  if (names[0]?.includes("@") === true || /[?&]sig=/.test(location)) {
    throw new ConfigError("the URL of a container holds credentials, which other users of this machine can see", {
      code: "credentials-in-url",
      hint: "set AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN instead",
    });
  }
  const host = protocol === undefined ? undefined : names.shift();
  const [account = "", container = "", ...rest] = names;
  const parts = rest.filter((name) => name !== "");
  // $root and $web are containers, too
  const isContainer = /^\$?[a-z0-9](?:-?[a-z0-9])*$/.test(container);
  const service =
    host === undefined
      ? (endpoint(account) ?? `https://${account}.blob.core.windows.net`)
      : `${protocol}://${host}/${account}`;
  const base = `${service.replace(/\/$/, "")}/${container}`;
  if (!/^[a-z0-9]{3,24}$/.test(account) || !isContainer || !URL.canParse(base) || parts.some(isHostilePart)) {
    throw new ConfigError(`not the location of a container: ${location.split("?", 1)[0]}`, {
      code: "url-invalid",
      hint: "expected azure://account/container/prefix or azure+https://host/account/container/prefix",
      data: { found: location.split("?", 1)[0] },
    });
  }
  return { account, target: bareTarget(base), prefix: prefixOf(parts) };
}

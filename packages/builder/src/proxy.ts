/**
 * ProxyUrl= and ProxyExclude=: the proxy that downloads go through.
 * @module
 */
import type { ImageConfig } from "@imgtool/config";

type Environment = Readonly<Record<string, string | undefined>>;

const proxyNames = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"] as const;

/**
 * The variables by which programs know proxies, as mkosi sets them. Where the proxy is the caller's own, what the
 * caller has set stays: it may name another one for https.
 */
export function proxyVariables(
  { proxyUrl, proxyExclude }: Pick<ImageConfig, "proxyUrl" | "proxyExclude">,
  caller: Environment = process.env,
): Record<string, string> {
  const variables: Record<string, string> = {};
  if (proxyUrl !== undefined) {
    const own = proxyNames.map((name) => caller[name]).find((value) => value !== undefined);
    for (const name of proxyNames) variables[name] = proxyUrl;
    if (own === proxyUrl)
      for (const name of proxyNames) Object.assign(variables, named(name, ofEitherCase(name, caller)));
  }
  const none = proxyExclude.length > 0 ? proxyExclude.join(",") : ofEitherCase("no_proxy", caller);
  return { ...variables, ...named("no_proxy", none), ...named("NO_PROXY", none) };
}

function ofEitherCase(name: string, caller: Environment): string | undefined {
  return caller[name] ?? caller[name.toLowerCase()] ?? caller[name.toUpperCase()];
}

function named(name: string, value: string | undefined): Record<string, string> {
  return value === undefined ? {} : { [name]: value };
}

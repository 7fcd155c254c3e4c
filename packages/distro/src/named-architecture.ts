/**
 * A distribution's own names of architectures.
 * @module
 */
import { ConfigError } from "@imgtool/core";

/**
 * The distribution's name of a systemd architecture.
 * @throws ConfigError `architecture-unknown`
 */
export function namedArchitecture(
  { title, architectures }: { readonly title: string; readonly architectures: Readonly<Record<string, string>> },
  architecture: string,
): string {
  const name = architectures[architecture];
  if (name !== undefined) return name;
  const known = Object.keys(architectures);
  throw new ConfigError(`${title} has no architecture "${architecture}"`, {
    code: "architecture-unknown",
    hint: `Architecture= is one of ${known.join(", ")}`,
    data: { architecture, known },
  });
}

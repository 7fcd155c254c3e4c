/**
 * The extended attributes of a file that belong into an image.
 * @module
 */
import { EnvironmentError, errorMessage } from "@imgtool/core";
import { displayPath, getXattr, listXattrs } from "@imgtool/host";
import type { ExtendedAttribute } from "./node.ts";

/** XFS also lists how it keeps access lists, as trusted.SGI_ACL_FILE and trusted.SGI_ACL_DEFAULT. */
const kept = /^(?:user\.|trusted\.(?!SGI_ACL_(?:FILE|DEFAULT)$)|security\.|system\.posix_acl_(?:access|default)$)/;

/**
 * The attributes of a path itself (links are not followed) in the namespaces that images keep, sorted by name.
 * @throws EnvironmentError `xattr-read`
 */
export function readXattrs(path: Buffer): ExtendedAttribute[] {
  try {
    const names = listXattrs(path).map((name) => name.toString("utf8"));
    return names
      .filter((name) => kept.test(name))
      .sort()
      .flatMap((name) => {
        const value = getXattr(path, name);
        return value === undefined ? [] : [{ name, value: Uint8Array.from(value) }];
      });
  } catch (error) {
    throw new EnvironmentError(`cannot read the extended attributes of ${displayPath(path)}: ${errorMessage(error)}`, {
      code: "xattr-read",
      data: { path: displayPath(path) },
      cause: error,
    });
  }
}

/**
 * An archive that casync 2 made with its default features, as root on ext4, of a tree with every kind
 * of node, extended attributes, ACLs, a file capability, chattr attributes, known and unknown owners
 * and a name that is no UTF-8. Gzip, base64.
 * @module
 */
import { gunzipSync } from "node:zlib";

/** The bytes of the archive. */
export function goldenArchive(): Uint8Array {
  return new Uint8Array(gunzipSync(Buffer.from(packed, "base64")));
}

/** SHA-512/256 of the archive: what `casync digest` prints. */
export const goldenDigest: string = "d27454ac1833bc7c0efc46b863a020e0306a2dbcce296e2d97d722bb8c5b7e04";

const packed: string =
  "H4sIAAAAAAACA3NggIDA3dGv9vyaJqz27/1/RgaGDW8dGfAC0YPvbFQUE8TEoHxuebHNe/J25ybqlVSUMDjgMHVPI3GmSkP5bUe4f0wsEN1RUl" +
  "RaXJKaolfCUCGFJlVanFqkl8RQUp4vjU0mNbegpJJBHSq1Xv+jXveJWk1GKJ8NSqckpubm5zEooClLF4LwWaDiKjDP3t2cs3XNJzMmKB9mXFJm" +
  "HoMElP3ZQt5FoJBFGaYXFlAn/9+5Nll2XndGak5OPpcEWvAlJxYkJuWk4gzAJUQGIMylmmxv12+oVfsO1MsE9x4UCKO5CGi3EJpzUnA6hNj0gT" +
  "W6UjKLGAzRA5MHymeF0rmJmIEJkzOA0hd6bJqWvbX7x46mF0bDxGHxP5GLce9P2w97GdHkofGP7v1Uir2PbmIaETELcZwl1I+GVyD0rXv9Czd3" +
  "vJIQQYu1lNTUApiZzEfUm+NiLt9Pg/Jh9IMTdj/3/z2fuAzKh6l31iwwXprvEi6K5sqczLxsnA79vxC/1///dwo676PMKwnl5/DyNW/L90rT09" +
  "OHFA4RaK7Ng/Jh9Pr7m6tz9yv9TIPG0g+o+ExB3buvgpbODIZmuwgCvkjJLMbtiyWJxEUgLM84P7uf+XiN7RpmRpgv+VGyNTzJgMsbwpHMhNdW" +
  "AbRIRvdaWmZaPm5LBInzGrqheaU5ObgNVSQvvGA5jRlKi6NZWpxaUpqJp5jpRbXm33/UEhdmLczYzWderZMSDv6Sl5+Un1IJty0oyzLzZNZrVW" +
  "g+L0EL3npXHzcmRka4LcwMdmAbLiij5pcJzQiXODBYMPACSXkGOXA1woKkDp2+AYxt9NAuzk/GnTrfHiQutDFCsyQzORt38vvvTJyxGmg5FGae" +
  "BlqOk0az/v8/hbzE3FSFGGWKKzAbRtQoqhgFRAMDRtToS4Fmvp/QMJZjk3PK2vNtqh60bRIKq2WlN6Us2tHhxgmtPkuh4i9ZIzxYvhZsmw41F0" +
  "avDQ7sXbwlne8YtBrdCy3UjPaYCdm/s8gO5YDw+6HmSNnPnJin1rDoJjOq+adbe9+9Wf943xQW1GprU2BN82XuVsYpnBC+PdTe9sZyIa4ttw3E" +
  "oPbVQ9Uru0lHlLa6BGQzofrrmF/6EQut8OorUHNg4QNLxgD5Lg9VBAsAAA==";

/**
 * The configurations that mkosi 25 brings along and that Include= takes without a path: what a virtual machine, an
 * initrd, a tree of tools and an addon are made of, in each distribution. The packages are mkosi's, so that an image
 * that includes one has what its project was written for.
 *
 * They are texts as a project's files are, one for each condition, read in this order.
 * @module
 */

/** Texts in the INI dialect, by the name that Include= takes. */
export type BuiltinConfigurations = Readonly<Record<string, readonly string[]>>;

const debianLike: readonly string[] = ["debian", "kali", "ubuntu"];
const redHatLike: readonly string[] = ["fedora", "centos", "alma", "rocky", "rhel"];

interface Condition {
  /** Conditions that all hold. */
  readonly match?: readonly string[];
  /** Conditions of which one group holds. */
  readonly oneOf?: readonly (readonly string[])[];
}

function section(name: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [`[${name}]`, ...lines];
}

/** One text: settings of [Content] that hold under a condition. Lists are separated by blanks. */
function text(settings: Readonly<Record<string, string>>, { match = [], oneOf = [] }: Condition = {}): string {
  return [
    ...section("Match", match),
    ...oneOf.flatMap((group) => section("TriggerMatch", group)),
    "[Content]",
    ...Object.entries(settings).map(([name, value]) => `${name}=${value.replaceAll(" ", ",")}`),
    "",
  ].join("\n");
}

function packages(names: string, condition?: Condition): string {
  return text({ Packages: names }, condition);
}

/** Any of these distributions. */
function any(distributions: readonly string[]): string[] {
  return distributions.map((name) => `Distribution=|${name}`);
}

function without(releases: readonly string[]): string[] {
  return releases.map((release) => `Release=!${release}`);
}

/** Debian, Ubuntu and Kali, but for these releases, in which something is not yet, or not there. */
function except(debian: readonly string[], ubuntu: readonly string[]): Condition {
  return {
    oneOf: [
      ["Distribution=debian", ...without(debian)],
      ["Distribution=ubuntu", ...without(ubuntu)],
      ["Distribution=kali"],
    ],
  };
}

const uefi: readonly (readonly string[])[] = [["Architecture=x86-64"], ["Architecture=arm64"]];

const virtualMachine: readonly string[] = [
  text({ Bootable: "yes", Packages: "bash diffutils gawk grep gzip less nano sed strace systemd udev" }),
  packages("dbus-broker dbus-broker-units iproute iputils linux polkit tpm2-tss", { match: ["Distribution=arch"] }),
  packages("iproute iputils kernel polkit systemd-resolved tpm2-tss util-linux", {
    match: any(["alma", "rocky", "centos", "fedora", "azure"]),
  }),
  packages("systemd-networkd", { match: any(["fedora", "azure"]) }),
  packages("systemd-boot", { match: any(["alma", "rocky", "centos", "fedora", "azure"]), oneOf: uefi }),
  packages(
    "bash dbus-broker iproute2 iputils-ping linux-image-generic login polkitd systemd-coredump systemd-sysv tpm2-tools tzdata",
    { match: any(debianLike) },
  ),
  packages("systemd-boot", except(["bullseye"], ["jammy"])),
  packages("systemd-resolved", except(["bullseye"], ["jammy"])),
  packages(
    "iproute iputils kernel-default libtss2-tcti-device0 patterns-base-minimal_base polkit strace systemd-boot systemd-network tpm2.0-tools",
    { match: ["Distribution=opensuse"] },
  ),
];

/** Modules without which a root file system is not found, nor its console, by the patterns of KernelModulesInclude=. */
const initrdModules =
  "ahci autofs4 binfmt_misc btrfs cdrom cfg80211 configfs dm-crypt dm-integrity dm-mod dm-multipath dm-raid dm-verity " +
  "dmi-sysfs drm_buddy efi-pstore efivarfs erofs ext4 i2c-algo-bit i2c-mux i2c-smbus intel-uncore-frequency-common " +
  "intel[-_]vsec kvm libphy loop mdio_devres mei mxm-wmi nvme overlay parport pmt_telemetry qemu_fw_cfg raid[0-9]* " +
  "scsi_mod sd_mod serio sg skx_edac_common snd-intel-dspcfg snd-soc-hda-codec squashfs usb-storage vfat virtio_balloon " +
  "virtio_blk virtio_console virtio_dma_buf virtio_mmio virtio_net virtio_pci virtio_scsi virtio-rng virtiofs " +
  "vmw_vsock_virtio_transport vsock wmi x_tables xfs xhci-pci-renesas";

const initrd: readonly string[] = [
  `[Output]\nOutput=initrd\nFormat=cpio\nManifestFormat=\nSplitArtifacts=\n`,
  text({
    Bootable: "no",
    MakeInitrd: "yes",
    CleanPackageMetadata: "yes",
    Packages: "systemd udev bash less p11-kit lvm2",
    // The binary forms of catalogs and hardware are there; kernels are no use within what they start; services that
    // their packages switched on are not the initrd's.
    RemoveFiles:
      "/usr/lib/systemd/catalog /etc/udev/hwdb.d /usr/lib/udev/hwdb.d /etc/services /usr/lib/modules/*/vmlinuz* " +
      "/usr/lib/modules/*/vmlinux* /usr/lib/modules/*/System.map /var/cache /var/log " +
      "/etc/systemd/system/*.wants /etc/systemd/system/*.requires",
    Locale: "C.UTF-8",
    WithDocs: "no",
    KernelModulesInclude: [...initrdModules.split(" ").map((name) => `/${name}.ko`), "^fs/nls/", "crypto/"].join(" "),
  }),
  packages("gzip btrfs-progs e2fsprogs xfsprogs erofs-utils dosfstools libfido2 tpm2-tss util-linux", {
    match: ["Distribution=arch"],
  }),
  // Arch has the compilers' libraries in one package, and what developers need beside the programs.
  text(
    {
      RemoveFiles:
        ["gfortran", "go", "gomp", "gphobos", "objc", "gdruntime"].map((name) => `/usr/lib/lib${name}.so*`).join(" ") +
        " /usr/lib/*.a /usr/include/* /usr/share/i18n/* /usr/share/hwdata/* /usr/share/iana-etc/* /usr/share/locale/*",
    },
    { match: ["Distribution=arch"] },
  ),
  packages("tpm2-tss e2fsprogs xfsprogs dosfstools", { match: any([...redHatLike, "azure"]) }),
  packages("btrfs-progs util-linux", { match: ["Distribution=azure"] }),
  text(
    { Packages: "libfido2 util-linux", RemovePackages: "shadow-utils" },
    { match: any(["centos", "alma", "rocky", "rhel"]) },
  ),
  packages("btrfs-progs erofs-utils", { match: [...any(["centos", "alma", "rocky", "rhel"]), "Repositories=epel"] }),
  text(
    {
      Packages: "kmod dmsetup libcryptsetup12 btrfs-progs e2fsprogs erofs-utils dosfstools util-linux libfido2-1",
      RemoveFiles: "/usr/share/locale/*",
    },
    { match: any(debianLike) },
  ),
  text(
    { RemovePackages: "dpkg" },
    {
      oneOf: [
        ["Distribution=debian", "Release=!bullseye", "Release=!bookworm"],
        ["Distribution=ubuntu", "Release=!jammy", "Release=!noble", "Release=!oracular"],
      ],
    },
  ),
  packages("^libtss2-esys-[0-9.]+-0$ ^libtss2-mu[0-9.-]+$ libtss2-rc0 libtss2-tcti-device0", {
    match: any(debianLike),
  }),
  packages("systemd-cryptsetup", except(["bullseye", "bookworm"], ["jammy", "noble"])),
  packages("systemd-repart", except(["bullseye", "bookworm"], [])),
  text(
    { Packages: "btrfs-progs libfido2 util-linux-core erofs-utils", RemovePackages: "shadow-utils" },
    { match: ["Distribution=fedora"] },
  ),
  text(
    {
      Packages:
        "patterns-base-minimal_base diffutils grep gzip xz libfido2-1 libtss2-esys0 libtss2-mu0 libtss2-rc0 " +
        "libtss2-tcti-device0 btrfsprogs e2fsprogs xfsprogs erofs-utils dosfstools util-linux",
      RemovePackages: "shadow sysuser-shadow",
      RemoveFiles: "/usr/share/locale/* /usr/etc/services",
    },
    { match: ["Distribution=opensuse"] },
  ),
  packages("systemd-boot", { match: ["Format=uki", "Distribution=!arch"] }),
];

const tools: readonly string[] = [
  `[Output]\nFormat=directory\nOutput=mkosi.tools\nManifestFormat=\n\n[Build]\nBuildSources=\n`,
  text({
    Bootable: "no",
    SELinuxRelabel: "no",
    Packages:
      "acl attr bash ca-certificates coreutils cpio curl diffutils dosfstools e2fsprogs findutils grep jq keyutils kmod " +
      "less mtools nano opensc openssl sed socat strace swtpm systemd tar util-linux xfsprogs zstd",
  }),
  `[Match]\nDistribution=ubuntu\n[Distribution]\nRepositories=main,universe\n`,
  packages(
    "apt archlinux-keyring base btrfs-progs createrepo_c debian-archive-keyring distribution-gpg-keys dnf dpkg edk2-ovmf " +
      "erofs-utils git grub libseccomp openssh pacman perf pipewire pipewire-audio pkcs11-provider python-cryptography " +
      "qemu-audio-pipewire qemu-base qemu-hw-display-virtio-gpu qemu-hw-display-virtio-gpu-gl qemu-hw-display-virtio-vga " +
      "qemu-hw-display-virtio-vga-gl qemu-ui-opengl qemu-ui-sdl reprepro sbsigntools shadow squashfs-tools systemd-ukify " +
      "ubuntu-keyring virt-firmware virtiofsd xz",
    { match: ["Distribution=arch"] },
  ),
  packages(
    "createrepo_c git-core grub2-tools libseccomp openssh-clients policycoreutils python3-cryptography qemu-img " +
      "qemu-kvm-core shadow-utils squashfs-tools swtpm-tools systemd-container systemd-journal-remote systemd-udev " +
      "systemd-ukify virt-firmware virtiofsd xz",
    { match: any([...redHatLike, "azure"]) },
  ),
  packages("edk2-ovmf", {
    match: any([...redHatLike, "azure"]),
    oneOf: [["HostArchitecture=x86-64"], ["HostArchitecture=arm64"]],
  }),
  packages(
    "btrfs-progs distribution-gpg-keys dnf5 dnf5-plugins qemu-system-aarch64-core qemu-system-s390x-core systemd-ukify",
    { match: ["Distribution=azure"] },
  ),
  packages("dnf dnf-plugins-core perf", { match: ["Distribution=centos"] }),
  `[Match]\nDistribution=centos\nRelease=10\n[Distribution]\nRepositories=epel\n`,
  `[Match]\nDistribution=centos\nRelease=9\n[Distribution]\nRepositories=epel,epel-next\n`,
  packages("btrfs-progs distribution-gpg-keys", { match: ["Distribution=centos", "Repositories=epel", "Release=10"] }),
  packages("apt archlinux-keyring btrfs-progs debian-keyring distribution-gpg-keys pacman sbsigntools ubu-keyring", {
    match: ["Distribution=centos", "Repositories=epel", "Release=9"],
  }),
  packages("erofs-utils", {
    match: ["Distribution=centos"],
    oneOf: [["Repositories=epel", "Release=9"], ["Release=10"]],
  }),
  packages("pkcs11-provider", { match: ["Distribution=centos", "Release=10"] }),
  packages(
    "?exact-name(distribution-gpg-keys) ?exact-name(grub-pc-bin) ?exact-name(kali-archive-keyring) ?exact-name(virtiofsd) " +
      "apt archlinux-keyring btrfs-progs createrepo-c debian-archive-keyring dnf erofs-utils git-core grub-common " +
      "libarchive-tools libcryptsetup12 libseccomp2 libtss2-dev libnss-resolve libnss-myhostname makepkg openssh-client " +
      "ovmf pacman-package-manager policycoreutils python3-cryptography python3-pefile qemu-efi-aarch64 qemu-system " +
      "reprepro sbsigntool squashfs-tools swtpm-tools systemd-container systemd-coredump systemd-journal-remote uidmap " +
      "xz-utils zypper",
    { match: any(debianLike) },
  ),
  packages("linux-perf", { match: any(["debian", "kali"]) }),
  packages("pkcs11-provider", except(["bookworm", "bullseye"], ["jammy"])),
  packages("python3-virt-firmware", except(["bookworm", "bullseye"], ["jammy"])),
  packages("systemd-boot", except(["bullseye"], ["jammy"])),
  packages("systemd-repart", except(["bullseye", "bookworm"], [])),
  packages("systemd-ukify", except(["bullseye", "bookworm"], ["jammy"])),
  packages("ubuntu-keyring", { match: [...any(debianLike)], oneOf: [["Distribution=!debian"], ["Release=!bookworm"]] }),
  packages(
    "apt archlinux-keyring btrfs-progs debian-keyring distribution-gpg-keys dnf5 dnf5-plugins erofs-utils pacman perf " +
      "pkcs11-provider qemu-system-aarch64-core qemu-system-ppc-core qemu-system-s390x-core reprepro ubu-keyring zypper",
    { match: ["Distribution=fedora"] },
  ),
  packages("sbsigntools", { match: ["Distribution=fedora"], oneOf: uefi }),
  packages(
    "btrfsprogs ca-certificates-mozilla createrepo_c distribution-gpg-keys dnf5 dnf5-plugins erofs-utils git-core " +
      "glibc-gconv-modules-extra grep libseccomp2 openssh-clients ovmf patterns-base-minimal_base perf pkcs11-provider " +
      "policycoreutils python3-cryptography python3-pefile qemu-headless qemu-ipxe qemu-ovmf-x86_64 qemu-uefi-aarch64 " +
      "reprepro sbsigntools shadow squashfs systemd-boot systemd-container systemd-coredump systemd-experimental " +
      "systemd-journal-remote tpm2.0-tools virt-firmware virtiofsd xz zypper",
    { match: ["Distribution=opensuse"] },
  ),
];

const addon: readonly string[] = [
  `[Distribution]\nDistribution=custom\n\n[Output]\nOutput=addon\nFormat=addon\nManifestFormat=\nSplitArtifacts=\n`,
  text({
    Bootable: "no",
    // The addon's stub has to be there, and is no part of what is added.
    ExtraTrees: "/usr/lib/systemd/boot/efi:/usr/lib/systemd/boot/efi",
    RemoveFiles:
      "/usr/lib/systemd/boot/efi/ /usr/lib/modules/*/vmlinuz* /usr/lib/modules/*/vmlinux* /usr/lib/modules/*/System.map " +
      "/usr/lib/modules/*/modules.* /usr/lib/modules/*/pkgbase /usr/lib/firmware/intel-ucode /usr/lib/firmware/amd-ucode",
  }),
];

export const builtinConfigurations: BuiltinConfigurations = {
  "mkosi-vm": virtualMachine,
  "mkosi-initrd": initrd,
  "mkosi-tools": tools,
  "mkosi-addon": addon,
};

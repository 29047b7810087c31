#!/bin/sh
# Builds src/hello.c for the kernel of kernel/build.yml, and a kernel image with it. Needs make and
# the compiler of the Debian release that the kernel is from; no root, no chroot, no DKMS.
set -eu
cd "$(dirname "$0")"
rm -rf build
mkdir build

# The headers, verified as all of Debian's packages, unpacked into a folder.
compos pkg build headers
compos cache export --format filesystem --outfile build/headers.tar example/kernel-headers:v1
mkdir build/headers
tar -xf build/headers.tar -C build/headers

# Debian's headers name each other by one absolute path.
sources="$PWD/build/headers/usr/src"
sed -i "s,/usr/src/,$sources/," "$sources"/linux-headers-*/Makefile

cp -r src build/module
for tree in "$sources"/linux-headers-*-cloud-*; do
    make -C "$tree" M="$PWD/build/module" modules
done
cp build/module/hello.ko kernel/hello.ko
compos pkg build kernel

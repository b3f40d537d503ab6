#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# use.sh HOW WORK: uses cadre as the project in user/ would; WORK holds its static or shared form.
#   add_subdirectory          builds the user's project with the sources of cadre in it
#   install                   installs what that built, as if to the system, in WORK/prefix
#   find_package, pkg_config  build the user's project with what was installed
set -euo pipefail
how=$1 work=$2
here=$(cd "$(dirname "$0")" && pwd)

use_cmake() {
  cmake -G Ninja -S "$here/user" -B "$work/$how" --fresh -DCMAKE_CXX_FLAGS="-Wall -Wextra -Werror" "$@"
  cmake --build "$work/$how"
  for program in "$work/$how"/user "$work/$how"/user_of_*asio; do
    [ ! -x "$program" ] || "$program"
  done
  "$work/$how/host" "$work/$how"/libplugin_{a,b}.so
}

case $how in
  add_subdirectory)
    use_cmake -DCADRE_SOURCE="$here/../.." -DCADRE_INSTALL=ON \
      -DBUILD_SHARED_LIBS="$([[ $work == *shared ]] && echo ON || echo OFF)"
    ;;
  install)
    rm -rf "$work/prefix"
    cmake --install "$work/add_subdirectory" --prefix "$work/prefix"
    ;;
  find_package) use_cmake -DCMAKE_PREFIX_PATH="$work/prefix" ;;
  pkg_config)
    mkdir -p "$work/$how"
    PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name cadre.pc)")
    export PKG_CONFIG_PATH
    read -ra flags < <(pkg-config --cflags --libs --static cadre)
    "${CXX:-c++}" -std=c++20 "$here/user/main.cpp" -o "$work/$how/user" "${flags[@]}"
    LD_LIBRARY_PATH=$(pkg-config --variable=libdir cadre) "$work/$how/user"
    ;;
esac

// SPDX-License-Identifier: MIT
// The version of cadre, and what marks a name as part of its binary interface.
#pragma once

// The build system and pkg-config read the version from these three lines.
#define CADRE_VERSION_MAJOR 0
#define CADRE_VERSION_MINOR 1
#define CADRE_VERSION_PATCH 0

/// One number to compare with: 10203 is version 1.2.3.
#define CADRE_VERSION \
  (CADRE_VERSION_MAJOR * 10000 + CADRE_VERSION_MINOR * 100 + CADRE_VERSION_PATCH)

/// Put on every class and function that the compiled library offers: it is built with hidden
/// visibility. Exception types need it also in a static library, so that a shared object that
/// links cadre can throw them into another one.
#define CADRE_API __attribute__((visibility("default")))

// SPDX-License-Identifier: MIT
// A program of the matrix that is linked with the library and starts no process.
#include <cadre/errors.hpp>

#include <cstdio>

int main() {
  try {
    throw cadre::error{"main runs"};
  } catch (const cadre::error& e) {
    std::puts(e.what());
  }
}

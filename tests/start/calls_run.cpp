// SPDX-License-Identifier: MIT
// A program of the matrix that uses cadre through another library only.
extern "C" int run();

int main() { return run(); }

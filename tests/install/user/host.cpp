// SPDX-License-Identifier: MIT
// host PLUGIN...: loads them, calls their answer(), unloads them, alone and side by side.
#include <dlfcn.h>

#include <chrono>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

namespace {

struct plugin {
  explicit plugin(const std::string& path) : handle{::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)} {
    if (handle == nullptr) std::cerr << ::dlerror() << '\n';
  }
  plugin(const plugin&) = delete;
  plugin& operator=(const plugin&) = delete;
  ~plugin() {
    if (handle != nullptr) ::dlclose(handle);
  }

  bool right() const {
    void* const symbol = handle == nullptr ? nullptr : ::dlsym(handle, "answer");
    return symbol != nullptr && reinterpret_cast<int (*)()>(symbol)() == 42;
  }

  void* const handle;
};

bool threads_end() {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{10};
  while (std::chrono::steady_clock::now() < deadline) {
    const std::filesystem::directory_iterator threads{"/proc/self/task"};
    if (std::distance(begin(threads), end(threads)) == 1) return true;
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> paths{argv + 1, argv + argc};
  for (int round = 0; round < 3; ++round) {
    for (const std::string& path : paths) {
      if (!plugin{path}.right()) return 1;
    }
    const plugin first{paths.front()};
    const plugin last{paths.back()};
    if (!first.right() || !last.right() || !first.right()) return 2;
  }
  return threads_end() ? 0 : 3;
}

// SPDX-License-Identifier: MIT
// What stands for libFuzzer where the compiler has none: runs the kept inputs, and then changed ones,
// the same every day, for as long as it is told.
//   fuzz_x -max_total_time=SECONDS [-seed=N] FOLDER...
// An input that ends the process is in the file crash-input.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" [[gnu::weak]] void __sanitizer_set_death_callback(void (*callback)());

namespace {

using bytes = std::vector<std::uint8_t>;

constexpr std::size_t most_bytes = 4096;

bytes present;  // the input that runs

void save_input() {
  const int file = ::open("crash-input", O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
  static_cast<void>(!::write(file, present.data(), present.size()));
  ::close(file);
}

void on_signal(int signal) {
  save_input();
  ::signal(signal, SIG_DFL);
  ::raise(signal);
}

void run(bytes input) {
  present = std::move(input);
  LLVMFuzzerTestOneInput(present.data(), present.size());
}

/// Numbers around which mistakes are made.
std::uint8_t edge(std::minstd_rand& random) {
  constexpr std::uint8_t values[] = {0, 1, 2, 7, 8, 15, 16, 0x7f, 0x80, 0xfe, 0xff};
  return values[random() % std::size(values)];
}

void change(bytes& input, const bytes& other, std::minstd_rand& random) {
  const auto at = [&](const bytes& of) { return random() % (of.size() + 1); };
  const std::size_t place = at(input);
  const auto here = input.begin() + static_cast<std::ptrdiff_t>(place);
  switch (random() % 5) {
    case 0:
      if (place < input.size()) *here = static_cast<std::uint8_t>(*here ^ (1U << random() % 8));
      break;
    case 1:
      if (place < input.size()) *here = edge(random);
      break;
    case 2:
      input.insert(here, 1 + random() % 8, edge(random));
      break;
    case 3:
      input.erase(here, here + static_cast<std::ptrdiff_t>(
                                   std::min<std::size_t>(random() % 16, input.size() - place)));
      break;
    default: {
      const std::size_t from = at(other);
      const std::size_t size = std::min<std::size_t>(random() % 64, other.size() - from);
      const auto first = other.begin() + static_cast<std::ptrdiff_t>(from);
      input.insert(here, first, first + static_cast<std::ptrdiff_t>(size));
    }
  }
  if (input.size() > most_bytes) input.resize(most_bytes);
}

std::vector<bytes> read_all(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> names;
  for (const auto& file : std::filesystem::directory_iterator{folder}) names.push_back(file.path());
  std::sort(names.begin(), names.end());
  std::vector<bytes> all;
  for (const auto& name : names) {
    std::ifstream file{name, std::ios::binary};
    all.emplace_back(std::istreambuf_iterator<char>{file}, std::istreambuf_iterator<char>{});
  }
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  double seconds = 0;
  unsigned seed = 1;
  std::vector<bytes> kept;
  LLVMFuzzerInitialize(&argc, &argv);
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument{argv[i]};
    const auto value = argument.substr(argument.find('=') + 1);
    if (argument.starts_with("-max_total_time=")) {
      seconds = std::atof(value.data());
    } else if (argument.starts_with("-seed=")) {
      seed = static_cast<unsigned>(std::atoi(value.data()));
    } else if (!argument.starts_with("-")) {
      const auto more = read_all(argument);
      kept.insert(kept.end(), more.begin(), more.end());
    }
  }
  for (const int s : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) ::signal(s, &on_signal);
  if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(&save_input);

  for (const bytes& input : kept) run(input);
  if (kept.empty()) kept.emplace_back();
  std::minstd_rand random{seed};
  std::uint64_t runs = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>{seconds};
  for (; std::chrono::steady_clock::now() < end; ++runs) {
    bytes input = kept[random() % kept.size()];
    for (auto changes = 1 + random() % 8; changes != 0; --changes) {
      change(input, kept[random() % kept.size()], random);
    }
    run(std::move(input));
  }
  std::printf("%zu kept inputs, %llu others\n", kept.size(), static_cast<unsigned long long>(runs));
  return 0;
}

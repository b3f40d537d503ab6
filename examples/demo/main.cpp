// SPDX-License-Identifier: MIT
// cadre_demo: reads a tree of files in a loop, on threads and in worker processes, and proves that all
// found the same. Then decodes images, of which some crash the decoder.
//
//     cadre_demo [DIR] [--workers N]
//
// For every file it computes the SHA-256 and the number of identifiers. A file that cannot be read
// is one failed call. Ctrl-C stops the calls that run and cancels those that wait.
#include <string.h>
#include <cadre/cadre.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "arguments.hpp"
#include "files.hpp"
#include "images.hpp"
#include "terminal.hpp"

namespace demo {
namespace {

constexpr int exit_interrupted = 130;  // what a shell reports for a program that Ctrl-C ended

using clock = std::chrono::steady_clock;

struct pass {
  const char* name = "";
  findings found = {};
  double seconds = 0;
};

double seconds_since(clock::time_point begin) {
  return std::chrono::duration<double>(clock::now() - begin).count();
}

/// Adds what `get` returns, or the file that it could not read.
template <typename Get>
void collect(findings& found, Get get) {
  try {
    found.files.push_back(get());
  } catch (const std::filesystem::filesystem_error& e) {
    found.failures.push_back({e.path1(), e.code().message()});
  }
}

void warm_all(const tree& below, const std::stop_token& stop, progress& bar) {
  bar.begin("warm-up", below.files.size());
  for (const auto& path : below.files) {
    try {
      warm(stop, path);
    } catch (const std::filesystem::filesystem_error&) {  // the passes will report it
    }
    bar.step();
  }
  bar.end();
}

pass read_in_a_loop(const tree& below, const std::stop_token& stop, progress& bar) {
  pass serial{.name = "serial"};
  const auto begin = clock::now();
  bar.begin("serial", below.files.size());
  for (const auto& path : below.files) {
    collect(serial.found, [&] { return analyse(stop, path); });
    bar.step();
  }
  bar.end();
  serial.seconds = seconds_since(begin);
  return serial;
}

// [pool]
template <typename Pool>
pass read_on(const char* name, const tree& below, int workers, const std::stop_token& stop,
             progress& bar) {
  // Calls that wait or run: enough to keep all workers busy, few enough to be cancelled at once.
  constexpr std::size_t window = 1000;
  pass pooled{.name = name};
  const auto begin = clock::now();
  bar.begin(name, below.files.size());
  Pool pool{workers};
  auto calls = cadre::as_completed(std::vector<cadre::future<file_facts>>{});
  auto next = below.files.begin();
  const auto submit_next = [&] {
    if (next == below.files.end()) return;
    calls.add(pool.submit({.stop_token = stop}, &analyse, *next++));
  };
  while (calls.remaining() < std::min(window, below.files.size())) submit_next();
  while (auto call = calls.next()) {
    if (call->cancelled()) continue;
    submit_next();
    try {
      collect(pooled.found, [&] { return std::move(*call).get(); });
      bar.step();
    } catch (const stopped&) {  // it was running; the others, if any, end as soon
    }
  }
  if (stop.stop_requested()) throw stopped{};
  bar.end();
  pooled.seconds = seconds_since(begin);
  return pooled;
}
// [/pool]

void print_tree(const options& chosen, const tree& below) {
  std::printf("%s: %zu files; skipped %zu links to folders, fifos, sockets and devices\n",
              chosen.root.c_str(), below.files.size(), below.skipped);
  std::printf(
      "Each file is read once before, untimed, so that all passes read from memory.\n"
      "A call reads one file, computes its SHA-256 and counts its identifiers.\n\n");
  std::fflush(stdout);
}

void print_row(int workers, const pass& row, double serial_seconds) {
  const double seconds = std::max(row.seconds, 1e-9);
  const auto calls = static_cast<double>(row.found.files.size() + row.found.failures.size());
  std::printf("%-9s %7d %9.3f %11.0f %9.1f %9.2f\n", row.name, workers, row.seconds,
              calls / seconds, static_cast<double>(row.found.bytes()) / 1e6 / seconds,
              serial_seconds / seconds);
  std::fflush(stdout);
}

void print_failures(const char* what, const std::vector<failure>& failures) {
  constexpr std::size_t most = 20;
  if (failures.empty()) return;
  std::printf("%s: %zu\n", what, failures.size());
  for (std::size_t i = 0; i < std::min(failures.size(), most); ++i) {
    std::printf("  %s: %s\n", failures[i].path.c_str(), failures[i].reason.c_str());
  }
  if (failures.size() > most) std::printf("  and %zu more\n", failures.size() - most);
}

bool equal(const pass& serial, const pass& pooled) {
  if (serial.found == pooled.found) return true;
  const auto [left, right] = std::ranges::mismatch(serial.found.files, pooled.found.files);
  std::printf("\nresults      DIFFERENT in %s, first at %s; did it change meanwhile?\n",
              pooled.name,
              left != serial.found.files.end()    ? left->path.c_str()
              : right != pooled.found.files.end() ? right->path.c_str()
                                                  : "an unreadable file");
  return false;
}

bool read_files(const options& chosen, const std::stop_token& stop, progress& bar) {
  bar.begin("walk", 0);
  tree below = walk(stop, chosen.root);
  print_tree(chosen, below);
  warm_all(below, stop, bar);

  std::printf("pass      workers   seconds     calls/s      MB/s  speed-up\n");
  pass serial = read_in_a_loop(below, stop, bar);
  print_row(1, serial, serial.seconds);
  // [choice]
  pass threads = read_on<cadre::thread_pool_executor>("threads", below, chosen.workers, stop, bar);
  print_row(chosen.workers, threads, serial.seconds);
  pass processes =
      read_on<cadre::process_pool_executor>("processes", below, chosen.workers, stop, bar);
  print_row(chosen.workers, processes, serial.seconds);
  // [/choice]

  for (pass* one : {&serial, &threads, &processes}) one->found.sort();
  const bool all_equal = equal(serial, threads) && equal(serial, processes);
  if (all_equal) std::printf("\nresults      equal\n");
  std::printf("files        %zu read, %zu unreadable\n", serial.found.files.size(),
              serial.found.failures.size());
  std::printf("bytes        %ju\n", std::uintmax_t{serial.found.bytes()});
  std::printf("identifiers  %ju\n", std::uintmax_t{serial.found.identifiers()});
  std::printf("sha256       %s (of the lines of sha256sum, by path)\n",
              serial.found.fingerprint().c_str());
  print_failures("unreadable files", serial.found.failures);
  print_failures("unreadable folders", below.unreadable_folders);
  return all_equal;
}

std::string how_it_ended(const cadre::worker_died& death) {
  if (death.signal() == 0) return "exit code " + std::to_string(death.exit_code());
  return std::string{"SIG"} + ::sigabbrev_np(death.signal()) + ", " + ::strsignal(death.signal());
}

// [images]
bool decode_images(const options& chosen, const std::stop_token& stop, progress& bar) {
  const gallery folder;
  const auto& images = folder.images();
  cadre::process_pool_executor pool{chosen.workers};
  std::vector<cadre::future<image_facts>> calls;
  bar.begin("images", images.size());
  for (const image& i : images) {
    calls.push_back(pool.submit({.name = i.path.filename(), .stop_token = stop}, &decode, i.path));
  }
  std::size_t decoded = 0;
  std::vector<failure> crashed;
  bool as_expected = true;
  for (std::size_t i = 0; i < images.size(); ++i) {
    try {
      as_expected &= calls[i].get() == images[i].facts && !images[i].damaged;
      ++decoded;
    } catch (const cadre::worker_died& e) {
      as_expected &= images[i].damaged;
      crashed.push_back({e.how().call, how_it_ended(e)});
    } catch (const cadre::cancelled_error&) {
    }
    if (stop.stop_requested()) throw stopped{};
    bar.step();
  }
  bar.end();
  // [/images]
  std::printf("\nimages       %zu decoded%s, %zu crashed the decoder, each in a worker process\n",
              decoded, as_expected ? "" : " (NOT AS EXPECTED)", crashed.size());
  for (const failure& f : crashed) std::printf("  %-18s %s\n", f.path.c_str(), f.reason.c_str());
  return as_expected;
}

int run(const options& chosen, const std::stop_token& stop, progress& bar) {
  const bool equal_files = read_files(chosen, stop, bar);
  const bool good_images = decode_images(chosen, stop, bar);
  return equal_files && good_images ? 0 : 1;
}

}  // namespace
}  // namespace demo

int main(int argc, char** argv) {
  demo::options chosen;
  if (const auto exit_code = demo::read_arguments(chosen, argc, argv)) return *exit_code;

  const demo::interrupt interrupt;  // before the first thread
  demo::progress bar;
  const auto begin = demo::clock::now();
  try {
    return demo::run(chosen, interrupt.token(), bar);
  } catch (const demo::stopped&) {
    bar.end();
    std::printf("interrupted in the pass \"%s\": %zu of %zu files done; %.2f s in all\n",
                bar.title().c_str(), bar.done(), bar.total(), demo::seconds_since(begin));
    return demo::exit_interrupted;
  } catch (const std::exception& e) {
    bar.end();
    std::fprintf(stderr, "cadre_demo: %s\n", e.what());
    return 1;
  }
}

// SPDX-License-Identifier: MIT
// A bounded pipeline: reader -> parsers -> writer. Whoever is too fast is held back by a full queue.
#include <cadre/cadre.hpp>

#include <algorithm>
#include <cstddef>
#include <iostream>
#include <map>
#include <stop_token>
#include <string>
#include <utility>

struct parsed {
  int line;
  std::size_t words;
};

int main() {
  constexpr int line_count = 2000;
  std::size_t most_waiting = 0;
  std::map<int, std::size_t> written;

  // [pipeline]
  cadre::queue<std::pair<int, std::string>> lines{100};
  cadre::queue<parsed> results{100};
  cadre::thread_pool_executor pool{4};
  cadre::task_group stages{pool};

  stages.post([&](std::stop_token stop) {  // reads
    for (int i = 0; i < line_count; ++i) {
      if (!lines.put({i, "line " + std::to_string(i)}, stop)) return;  // a stage has failed
    }
    lines.shutdown();  // the parsers take what is left, then their loops end
  });
  stages.post([&](std::stop_token stop) {  // parses, as a pool of two
    cadre::task_group parsers{pool, stop};
    const auto parse = [&](std::stop_token inner) {
      for (const auto& [number, text] : lines.until(inner)) {
        const auto spaces = static_cast<std::size_t>(std::ranges::count(text, ' '));
        if (!results.put({number, spaces + 1}, inner)) return;
      }
    };
    parsers.post(parse);
    parsers.post(parse);
    parsers.wait();
    results.shutdown();
  });
  stages.post([&](std::stop_token stop) {  // writes
    for (const parsed& p : results.until(stop)) {
      written[p.line] = p.words;
      most_waiting = std::max({most_waiting, lines.size(), results.size()});
    }
  });
  stages.wait();  // throws what a stage has thrown
  // [/pipeline]

  std::cout << written.size() << " lines, at most " << most_waiting << " waiting\n";
  const bool all = std::ranges::all_of(written, [](const auto& w) { return w.second == 2; });
  return written.size() == line_count && all && most_waiting <= 100 ? 0 : 1;
}

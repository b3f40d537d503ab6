// SPDX-License-Identifier: MIT
// log_analyser: what a web server's access log says. Threads read pieces of a mapped file by views,
// and Ctrl-C ends that at any moment, before the mapping goes.
//
//     log_analyser FILE
//
// A line is in the Common Log Format, with the microseconds that the request took at its end:
//     192.0.2.1 - - [10/Oct/2025:13:55:36 +0200] "GET /index.html HTTP/1.1" 200 2326 1500
#include <cadre/cadre.hpp>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iostream>
#include <map>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

/// Turns Ctrl-C into a stop request. Make it before any other thread: those inherit that SIGINT is
/// blocked, so that it reaches the thread that waits for it.
class interrupt {
 public:
  interrupt() {
    sigset_t awaited;
    ::sigemptyset(&awaited);
    ::sigaddset(&awaited, SIGINT);
    ::pthread_sigmask(SIG_BLOCK, &awaited, nullptr);
    watcher_ = std::thread{[this, awaited] {
      int signal = 0;
      ::sigwait(&awaited, &signal);
      stop_.request_stop();
    }};
  }
  ~interrupt() {
    ::pthread_kill(watcher_.native_handle(), SIGINT);  // else it would wait for a Ctrl-C
    watcher_.join();
  }
  std::stop_token token() const { return stop_.get_token(); }

 private:
  std::stop_source stop_;
  std::thread watcher_;
};

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw std::runtime_error{"cannot read " + path + ": " + why + "; give the path of an access log"};
}

/// A file as text in memory. A file that somebody truncates meanwhile ends the program by SIGBUS.
class mapped_file {
 public:
  explicit mapped_file(const std::string& path) {
    // O_NONBLOCK: to open a fifo would else wait for a writer, and nothing could end that.
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) refuse(path, std::generic_category().message(errno));
    struct stat facts = {};
    ::fstat(file, &facts);
    const bool regular = S_ISREG(facts.st_mode);
    const auto size = regular ? static_cast<std::size_t>(facts.st_size) : 0;
    void* address =  // an empty mapping is an error, an empty log is none
        size > 0 ? ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0) : nullptr;
    const int error = errno;
    ::close(file);
    if (!regular) refuse(path, "it is no regular file");
    if (address == MAP_FAILED) refuse(path, std::generic_category().message(error));
    text_ = {static_cast<const char*>(address), size};
  }
  ~mapped_file() {
    if (!text_.empty()) ::munmap(const_cast<char*>(text_.data()), text_.size());
  }
  mapped_file(const mapped_file&) = delete;
  mapped_file& operator=(const mapped_file&) = delete;

  std::string_view text() const { return text_; }

 private:
  std::string_view text_;
};

/// Takes a field and the `end` behind it off the front of `rest`; empty if there is none.
std::string_view take(std::string_view& rest, std::string_view end) {
  const std::size_t length = rest.find(end);
  if (length == rest.npos) return {};
  const std::string_view field = rest.substr(0, length);
  rest.remove_prefix(length + end.size());
  return field;
}

template <typename Number>
bool read_number(std::string_view text, Number& number) {
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, number);
  return error == std::errc{} && end == last;
}

struct path_facts {
  std::uint64_t requests = 0, slowest = 0;
};

struct summary {
  std::uint64_t requests = 0, malformed = 0, bytes = 0;
  std::map<unsigned, std::uint64_t> by_status = {};
  std::unordered_map<std::string_view, path_facts> by_path = {};  // views of the mapping

  /// False, and nothing is added, if the line is malformed.
  bool add(std::string_view line) {
    for (const std::string_view end : {" ", " ", " [", "] \"", " "}) {
      if (take(line, end).empty()) return false;  // host, two names, time, method
    }
    const std::string_view path = take(line, " ");
    const std::string_view protocol = take(line, "\" ");
    const std::string_view status_text = take(line, " "), size_text = take(line, " ");
    unsigned status = 0;
    std::uint64_t size = 0, microseconds = 0;
    if (path.empty() || protocol.empty() || status_text.size() != 3) return false;
    if (!read_number(status_text, status) || !read_number(line, microseconds)) return false;
    if (size_text != "-" && !read_number(size_text, size)) return false;

    ++requests;
    bytes += size;
    ++by_status[status];
    path_facts& facts = by_path[path];
    ++facts.requests;
    facts.slowest = std::max(facts.slowest, microseconds);
    return true;
  }

  void merge(const summary& part) {
    requests += part.requests;
    malformed += part.malformed;
    bytes += part.bytes;
    for (const auto& [status, count] : part.by_status) by_status[status] += count;
    for (const auto& [path, more] : part.by_path) {
      path_facts& facts = by_path[path];
      facts.requests += more.requests;
      facts.slowest = std::max(facts.slowest, more.slowest);
    }
  }
};

/// Pieces of some 256 KiB that end where lines do.
std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> pieces;
  while (!text.empty()) {
    const std::size_t end = text.find('\n', (1 << 18) - 1);
    pieces.push_back(text.substr(0, end == text.npos ? end : end + 1));
    text.remove_prefix(pieces.back().size());
  }
  return pieces;
}

/// Gives up when it is asked to stop: then nobody will print what it found.
summary analyse(std::string_view piece) {
  const std::stop_token stop = cadre::this_worker::stop_token();
  summary found;
  while (!piece.empty() && !stop.stop_requested()) {
    const std::string_view line = piece.substr(0, piece.find('\n'));
    piece.remove_prefix(std::min(line.size() + 1, piece.size()));
    if (!found.add(line)) ++found.malformed;
  }
  return found;
}

/// None if it was stopped. No thread reads `text` any more when it returns or throws: the results
/// of map wait for the elements that run.
std::optional<summary> analyse_all(std::string_view text, const std::stop_token& stop) {
  cadre::thread_pool_executor pool;
  summary total;
  try {
    // The window keeps a large log from becoming as many summaries that wait for their turn.
    const cadre::map_options options{.buffer_size = 4 * std::size_t{pool.max_workers()},
                                     .call = {.stop_token = stop}};
    for (const summary& part : pool.map(options, &analyse, split(text))) total.merge(part);
  } catch (const cadre::cancelled_error&) {  // by `stop`, before a worker had begun it
    return std::nullopt;
  }
  // A piece may be known in part only. Who presses Ctrl-C after this gets the whole report.
  if (stop.stop_requested()) return std::nullopt;
  return total;
}

void print_top(const summary& total, const char* title, const char* unit,
               std::uint64_t path_facts::*rank) {
  std::vector<std::pair<std::uint64_t, std::string_view>> rows;
  rows.reserve(total.by_path.size());
  for (const auto& [path, facts] : total.by_path) rows.emplace_back(facts.*rank, path);
  std::ranges::sort(rows, [](const auto& a, const auto& b) {
    return std::tie(b.first, a.second) < std::tie(a.first, b.second);
  });
  for (const auto& [value, path] : rows | std::views::take(10)) {
    std::cout << title << value << unit << path << '\n';
  }
}

void print(const summary& total) {
  std::cout << "requests   " << total.requests << "\nmalformed  " << total.malformed
            << "\nbytes      " << total.bytes << '\n';
  for (auto [code, count] : total.by_status)
    std::cout << "status     " << code << ": " << count << '\n';
  print_top(total, "requested  ", " times: ", &path_facts::requests);
  print_top(total, "slowest    ", " us: ", &path_facts::slowest);
  if (!std::cout.flush())
    throw std::runtime_error{"cannot write the report; see where stdout goes"};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: log_analyser FILE, where FILE is an access log\n";
    return 2;
  }
  try {
    const interrupt ctrl_c;
    const mapped_file log{argv[1]};
    const std::optional<summary> total = analyse_all(log.text(), ctrl_c.token());
    if (!total) {
      std::cerr << "log_analyser: interrupted before all of " << argv[1]
                << " was read, so there is no report; run it again for one\n";
      return 130;  // what a shell reports for a program that Ctrl-C ended
    }
    print(*total);
  } catch (const std::exception& e) {
    std::cerr << "log_analyser: " << e.what() << '\n';
    return 1;
  }
}

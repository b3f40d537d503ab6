// SPDX-License-Identifier: MIT
// pipeline: a filter that computes several lines at a time, but writes them in their order, with
// memory for a window of them. In four ways that give the same.
//
//     pipeline futures|map|coroutine|queues [ROUNDS] < input > output
//
// For each line it writes the CRC-32 of ROUNDS copies of it, and the line.
#include <cadre/async_generator.hpp>
#include <cadre/cadre.hpp>

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <iostream>
#include <istream>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <stop_token>
#include <streambuf>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace {

constexpr std::size_t window = 64;  // lines that are read and not yet written, or a few more

struct bad_line : std::runtime_error {
  using runtime_error::runtime_error;
};

/// Standard input. Its end is also reached by interrupt() and by an error, which check() throws.
class input final : private std::streambuf, public std::istream {
 public:
  input() : std::istream{this} {}
  ~input() override { ::close(wake_); }

  /// Ends a read() that blocks. Any thread may call it.
  void interrupt() const { ::eventfd_write(wake_, 1); }

  void check() const {
    if (error_ != 0) throw std::system_error{error_, std::generic_category(), "cannot read stdin"};
  }

 private:
  int underflow() override {
    std::array<pollfd, 2> polled{{{STDIN_FILENO, POLLIN, 0}, {wake_, POLLIN, 0}}};
    ::poll(polled.data(), polled.size(), -1);
    if (polled[1].revents != 0) return std::char_traits<char>::eof();
    const ssize_t got = ::read(STDIN_FILENO, bytes_.data(), bytes_.size());
    if (got < 0) error_ = errno;
    if (got <= 0) return std::char_traits<char>::eof();
    setg(bytes_.data(), bytes_.data(), bytes_.data() + got);
    return std::char_traits<char>::to_int_type(bytes_.front());
  }

  int wake_ = ::eventfd(0, EFD_CLOEXEC);
  int error_ = 0;
  std::array<char, 1 << 16> bytes_;
};

/// A line, so that an istream is a range of them.
struct line {
  std::string text;
  friend std::istream& operator>>(std::istream& in, line& to) { return std::getline(in, to.text); }
};

class output {
 public:
  /// Throws std::system_error, of broken_pipe when nobody reads any more.
  void write(const std::string& text) {
    if (std::fwrite(text.data(), 1, text.size(), stdout) < text.size() ||
        std::fflush(stdout) != 0) {
      throw std::system_error{errno, std::generic_category(), "cannot write to stdout"};
    }
    ++lines_;
  }
  std::size_t lines() const { return lines_; }

 private:
  std::size_t lines_ = 0;
};

std::uint32_t crc32(std::string_view bytes, std::uint32_t crc) {
  for (const char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0xedb88320U & (0U - (crc & 1)));
  }
  return crc;
}

/// What is expensive.
struct transform {
  int rounds;

  std::string operator()(const line& in) const {
    if (in.text == "fail") throw bad_line{"it is \"fail\""};
    std::uint32_t crc = 0xffffffff;
    for (int i = 0; i < rounds; ++i) crc = crc32(in.text, crc);
    std::array<char, 16> hex{};
    std::snprintf(hex.data(), hex.size(), "%08x ", static_cast<unsigned>(~crc));
    return hex.data() + in.text + '\n';
  }
};

// [futures]
/// A thread reads and submits, as far as a queue of futures lets it; this one writes.
void by_futures(cadre::thread_pool_executor& pool, transform f, input& in, output& out) {
  cadre::queue<cadre::future<std::string>> pending{window};
  cadre::thread_pool_executor io{1};  // read() blocks, and no worker of `pool` should
  cadre::task_group reader{io};
  reader.post([&](const std::stop_token& stop) {
    const std::stop_callback wake{stop, [&] { in.interrupt(); }};
    for (line next; in >> next;) {
      if (!pending.put(pool.submit(f, std::move(next)), stop)) return;  // the writer has failed
    }
    pending.shutdown();
  });
  for (const auto& result : pending.until(reader.get_stop_token())) out.write(result.get());
  reader.wait();
}
// [/futures]

// [map]
/// map fills the window before the loop gets a line, which suits files, but not a dialogue.
void by_map(cadre::thread_pool_executor& pool, transform f, input& in, output& out) {
  std::ranges::istream_view<line> lines{in};
  for (const auto& text : pool.map({.buffer_size = window}, f, lines)) out.write(text);
}
// [/map]

// [coroutine]
cadre::async_generator<std::string> transformed(cadre::thread_pool_executor& pool, transform f,
                                                input& in) {
  std::deque<cadre::future<std::string>> calls;
  line next;
  while (in >> next || !calls.empty()) {
    if (in) calls.push_back(pool.submit(f, std::move(next)));
    if (in && calls.size() < window) continue;
    const auto first = std::move(calls.front());
    calls.pop_front();
    co_yield co_await first;
  }
}

cadre::task<void> write_all(cadre::async_generator<std::string> results, output& out) {
  while (const auto text = co_await results.next()) out.write(*text);
}

void by_coroutine(cadre::thread_pool_executor& pool, transform f, input& in, output& out) {
  cadre::sync_wait(write_all(transformed(pool, f, in), out));
}
// [/coroutine]

// [queues]
/// Lines go round lanes of two bounded queues and a call each, and so leave in their order.
void by_queues(cadre::thread_pool_executor& pool, transform f, input& in, output& out) {
  struct lane {
    cadre::queue<line> lines{8};
    cadre::queue<cadre::future<std::string>> results{8};
  };
  std::deque<lane> lanes(pool.max_workers());
  cadre::thread_pool_executor io{1};
  cadre::task_group stages{pool};
  const auto read = [&](const std::stop_token& stop) {
    const std::stop_callback wake{stop, [&] { in.interrupt(); }};
    std::size_t count = 0;
    for (line next; in >> next;) {
      if (!lanes[count++ % lanes.size()].lines.put(std::move(next), stop)) return;
    }
    for (lane& each : lanes) each.lines.shutdown();
  };
  static_cast<void>(stages.spawn_on(io, read));  // wait() learns how it ends
  for (lane& each : lanes) {
    stages.post([&each, f](const std::stop_token& stop) {
      cadre::inline_executor here;  // a failure is a result like others, and has to take its turn
      for (line& next : each.lines.until(stop)) {
        if (!each.results.put(here.submit(f, std::move(next)), stop)) return;
      }
      each.results.put({}, stop);  // no more
    });
  }
  for (std::size_t count = 0;; ++count) {
    const auto result = lanes[count % lanes.size()].results.get(stages.get_stop_token());
    if (!result || !result->valid()) break;
    out.write(result->get());
  }
  stages.wait();
}
// [/queues]

using way = void (*)(cadre::thread_pool_executor&, transform, input&, output&);

way way_of(std::string_view name) {
  if (name == "futures") return &by_futures;
  if (name == "map") return &by_map;
  if (name == "coroutine") return &by_coroutine;
  if (name == "queues") return &by_queues;
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  const way run = argc == 2 || argc == 3 ? way_of(argv[1]) : nullptr;
  const int rounds = argc == 3 ? std::atoi(argv[2]) : 50;
  if (run == nullptr || rounds < 1) {
    std::cerr << "usage: pipeline futures|map|coroutine|queues [ROUNDS] < input > output\n";
    return 2;
  }
  ::signal(SIGPIPE, SIG_IGN);  // write() says so instead
  // The first line that fails is told. By default, each one behind it would be told, too.
  cadre::set_unhandled_hook([](const cadre::unhandled&) noexcept {});
  cadre::thread_pool_executor pool;
  output out;
  try {
    input in;
    try {
      run(pool, transform{rounds}, in, out);
    } catch (...) {
      pool.shutdown({.cancel_pending = true});  // nobody will write them
      throw;
    }
    in.check();
    return 0;
  } catch (const bad_line& e) {
    std::cerr << "pipeline: line " << out.lines() + 1 << " failed: " << e.what()
              << "; correct or remove it, and run this again\n";
  } catch (const std::system_error& e) {
    if (e.code() == std::errc::broken_pipe) return 128 + SIGPIPE;  // as a shell reports it
    std::cerr << "pipeline: " << e.what() << "; see where that leads\n";
  } catch (const std::exception& e) {
    std::cerr << "pipeline: " << e.what() << '\n';
  }
  return 1;
}

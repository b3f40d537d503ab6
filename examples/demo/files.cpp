// SPDX-License-Identifier: MIT
#include "files.hpp"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cadre/register_exception.hpp>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <numeric>
#include <span>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace fs = std::filesystem;

namespace demo {
namespace {

using bytes = std::span<const unsigned char>;

[[noreturn]] void throw_unreadable(const fs::path& path, int error) {
  throw fs::filesystem_error{"cannot read", path, {error, std::generic_category()}};
}

/// A regular file, open for reading.
class input {
 public:
  explicit input(const fs::path& path) : path_{path} {
    // O_NONBLOCK: a fifo that took the file's place since the walk must not hold us up.
    descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (descriptor_ == -1) throw_unreadable(path, errno);
    struct ::stat facts {};
    if (::fstat(descriptor_, &facts) == 0 && S_ISREG(facts.st_mode)) return;
    ::close(descriptor_);
    throw_unreadable(path, EINVAL);
  }
  ~input() { ::close(descriptor_); }
  input(const input&) = delete;
  input& operator=(const input&) = delete;

  /// The next part of the file, in `block`; empty at the end.
  bytes read(std::span<unsigned char> block) const {
    const ::ssize_t count = ::read(descriptor_, block.data(), block.size());
    if (count < 0) throw_unreadable(path_, errno);
    return block.first(static_cast<std::size_t>(count));
  }

 private:
  const fs::path& path_;
  int descriptor_;
};

template <typename Function>
void for_each_block(const std::stop_token& stop, const fs::path& path, Function use) {
  // Small enough to stay in the cache, and to see a stop request at once.
  std::array<unsigned char, 64 * 1024> block;
  const input file{path};
  for (;;) {
    if (stop.stop_requested()) throw stopped{};
    const bytes part = file.read(block);
    if (part.empty()) return;
    use(part);
  }
}

class sha256_hasher {
 public:
  sha256_hasher() { check(::EVP_DigestInit_ex2(context_.get(), algorithm(), nullptr)); }

  void add(bytes part) { check(::EVP_DigestUpdate(context_.get(), part.data(), part.size())); }

  std::array<unsigned char, 32> finish() {
    std::array<unsigned char, 32> digest{};
    check(::EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr));
    return digest;
  }

 private:
  template <auto Free>
  struct freed_by {
    void operator()(auto* object) const { Free(object); }
  };

  static void check(bool good) {
    if (!good) throw std::runtime_error{"OpenSSL cannot compute SHA-256"};
  }
  // Fetched once: to look it up for every file takes a lock that all workers share.
  static const EVP_MD* algorithm() {
    static const std::unique_ptr<EVP_MD, freed_by<&::EVP_MD_free>> fetched{
        ::EVP_MD_fetch(nullptr, "SHA256", nullptr)};
    check(fetched != nullptr);
    return fetched.get();
  }

  std::unique_ptr<EVP_MD_CTX, freed_by<&::EVP_MD_CTX_free>> context_{::EVP_MD_CTX_new()};
};

/// Counts the matches of [A-Za-z_][A-Za-z0-9_]*, also of one that two parts share.
class identifier_counter {
 public:
  void add(bytes part) {
    for (const unsigned char c : part) {
      const bool inside = kinds[c] == letter || (inside_ && kinds[c] == digit);
      count_ += static_cast<std::uint64_t>(inside && !inside_);
      inside_ = inside;
    }
  }
  std::uint64_t count() const { return count_; }

 private:
  enum kind : unsigned char { other, digit, letter };
  static constexpr std::array<kind, 256> kinds = [] {
    std::array<kind, 256> table{};
    for (unsigned char c = '0'; c <= '9'; ++c) table[c] = digit;
    for (unsigned char c = 'a'; c <= 'z'; ++c) table[c] = letter;
    for (unsigned char c = 'A'; c <= 'Z'; ++c) table[c] = letter;
    table['_'] = letter;
    return table;
  }();

  bool inside_ = false;
  std::uint64_t count_ = 0;
};

std::string hex(bytes digest) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const unsigned char byte : digest) {
    text += digits[byte / 16];
    text += digits[byte % 16];
  }
  return text;
}

void sort_in(tree& found, const fs::directory_entry& entry, std::vector<fs::path>& folders) {
  std::error_code error;
  switch (entry.status(error).type()) {
    case fs::file_type::directory:
      if (entry.is_symlink(error)) {
        ++found.skipped;
      } else {
        folders.push_back(entry.path());
      }
      break;
    case fs::file_type::fifo:
    case fs::file_type::socket:
    case fs::file_type::block:
    case fs::file_type::character:
      ++found.skipped;
      break;
    default:
      found.files.push_back(entry.path());
  }
}

// So that it arrives as what it is from a worker process, too.
[[maybe_unused]] const bool registered = cadre::register_exception<stopped>(
    [](cadre::encoder&, const stopped&) {}, [](cadre::decoder&) { return stopped{}; });

}  // namespace

void findings::sort() {
  std::ranges::sort(files);
  std::ranges::sort(failures);
}

std::uint64_t findings::bytes() const {
  return std::accumulate(files.begin(), files.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const file_facts& f) { return sum + f.bytes; });
}

std::uint64_t findings::identifiers() const {
  return std::accumulate(
      files.begin(), files.end(), std::uint64_t{0},
      [](std::uint64_t sum, const file_facts& f) { return sum + f.identifiers; });
}

std::string findings::fingerprint() const {
  sha256_hasher hasher;
  for (const file_facts& f : files) {
    const std::string line = hex(f.sha256) + "  " + f.path + '\n';
    hasher.add({reinterpret_cast<const unsigned char*>(line.data()), line.size()});
  }
  return hex(hasher.finish());
}

tree walk(const std::stop_token& stop, const fs::path& root) {
  tree found;
  std::vector<fs::path> folders{root};
  while (!folders.empty()) {
    const fs::path folder = std::move(folders.back());
    folders.pop_back();
    std::error_code error;
    fs::directory_iterator entry{folder, error};
    for (; !error && entry != fs::directory_iterator{}; entry.increment(error)) {
      if (stop.stop_requested()) throw stopped{};
      sort_in(found, *entry, folders);
    }
    if (error) found.unreadable_folders.push_back({folder, error.message()});
  }
  return found;
}

void warm(const std::stop_token& stop, const fs::path& path) {
  for_each_block(stop, path, [](bytes) {});
}

file_facts analyse(std::stop_token stop, const fs::path& path) {
  file_facts facts{.path = path};
  sha256_hasher hasher;
  identifier_counter identifiers;
  for_each_block(stop, path, [&](bytes part) {
    hasher.add(part);
    identifiers.add(part);
    facts.bytes += part.size();
  });
  facts.identifiers = identifiers.count();
  facts.sha256 = hasher.finish();
  return facts;
}

}  // namespace demo

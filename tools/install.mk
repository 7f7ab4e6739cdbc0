# make install DESTDIR=... PREFIX=/usr/local

INSTALL ?= install
SBINDIR ?= $(PREFIX)/sbin
BINDIR ?= $(PREFIX)/bin
SHAREDIR ?= $(PREFIX)/share/wp-cron-fcgi
DOCDIR ?= $(PREFIX)/share/doc/wp-cron-fcgi
MANDIR ?= $(PREFIX)/share/man

NGINX_FILES := $(wildcard nginx/*.conf)
UNIT_FILES := $(wildcard nginx/systemd/*.service nginx/systemd/*.socket)
PHP_FILES := $(wildcard fcgi/php/*.php)
CONF_FILES := $(wildcard conf/*.conf)
DOC_FILES := README.md CHANGELOG.md LICENSE
MAN1_FILES := $(wildcard man/*.1)
MAN8_FILES := $(wildcard man/*.8)

# Destination directory and its files; one row a kind.
INSTALLED = \
	$(addprefix $(SBINDIR)/,wp-cron-fcgi) \
	$(addprefix $(BINDIR)/,wp-cronctl) \
	$(addprefix $(SHAREDIR)/,$(notdir $(PHP_FILES) $(CONF_FILES))) \
	$(addprefix $(SHAREDIR)/nginx/,$(notdir $(NGINX_FILES))) \
	$(addprefix $(UNITDIR)/,$(notdir $(UNIT_FILES))) \
	$(addprefix $(DOCDIR)/,$(DOC_FILES)) \
	$(addprefix $(MANDIR)/man1/,$(notdir $(MAN1_FILES))) \
	$(addprefix $(MANDIR)/man8/,$(notdir $(MAN8_FILES)))

# $(call put,mode,directory,files)
put = $(if $(strip $(3)),$(INSTALL) -d $(DESTDIR)$(2) && \
	$(INSTALL) -m $(1) $(3) $(DESTDIR)$(2)/)

install: all
	$(call put,755,$(SBINDIR),$(B)/wp-cron-fcgi)
	$(call put,755,$(BINDIR),$(B)/wp-cronctl)
	$(call put,644,$(SHAREDIR),$(PHP_FILES) $(CONF_FILES))
	$(call put,644,$(SHAREDIR)/nginx,$(NGINX_FILES))
	$(call put,644,$(UNITDIR),$(UNIT_FILES))
	$(foreach f,$(UNIT_FILES),sed -i 's|@SBINDIR@|$(SBINDIR)|; \
		s|@SYSCONFDIR@|$(SYSCONFDIR)|; s|@DOCDIR@|$(DOCDIR)|' \
		$(DESTDIR)$(UNITDIR)/$(notdir $(f));)
	$(call put,644,$(DOCDIR),$(DOC_FILES))
	$(call put,644,$(MANDIR)/man1,$(MAN1_FILES))
	$(call put,644,$(MANDIR)/man8,$(MAN8_FILES))

# The configuration in $(SYSCONFDIR) is the administrator's; it stays.
uninstall:
	rm -f $(addprefix $(DESTDIR),$(INSTALLED))
	-rmdir $(addprefix $(DESTDIR),$(SHAREDIR)/nginx $(SHAREDIR) \
		$(DOCDIR)) 2>/dev/null

clean:
	rm -rf build

help:
	@echo "make [VARIANT=release|debug|asan|tsan] [CC=gcc|clang] [TARGET]"
	@echo
	@echo "  all           the daemon and wp-cronctl, into build/"
	@echo "  check         unit tests (seconds)"
	@echo "  integration   real MariaDB, nginx, php-fpm, WordPress"
	@echo "  test          check and integration; tools/test does it all"
	@echo "  lint          layers, headers, SQL, sizes, format, shellcheck, php -l"
	@echo "  tidy          clang-tidy and cppcheck; -j, a minute or two"
	@echo "  format        clang-format in place; format-check: only look"
	@echo "  fuzz          every fuzz target, FUZZ_SECONDS each"
	@echo "  bench         measured ratios, JSON and a table"
	@echo "  soak          hours under load, SOAK_SECONDS"
	@echo "  demo          a whole site, in a private directory"
	@echo "  install       DESTDIR, PREFIX; uninstall"
	@echo "  clean"

.PHONY: install uninstall clean help
